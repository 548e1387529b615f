//! Probes and life-cycle hooks. From [`super::container`]; pure.

use serde_json::Value;

use super::container::{port_name, port_number};
use super::{Errors, integer, items, one_of, text, words};
use crate::field::{FieldError, Path};

/// A probe; `which` is its field name.
pub(super) fn probe(probe: &Value, which: &str, path: &Path, errors: &mut Errors) {
    if probe.is_null() {
        return;
    }
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if let Some(value) = integer(probe, field).filter(|v| *v < 0) {
            errors.push(FieldError::invalid_number(&path.child(field), value, "must be greater than or equal to 0"));
        }
    }
    match integer(probe, "terminationGracePeriodSeconds") {
        Some(_) if which == "readinessProbe" => {
            errors.push(FieldError::invalid(
                &path.child("terminationGracePeriodSeconds"),
                &probe["terminationGracePeriodSeconds"],
                "must not be set for readinessProbes",
            ));
        }
        Some(value) if value <= 0 => {
            errors.push(FieldError::invalid_number(
                &path.child("terminationGracePeriodSeconds"),
                value,
                "must be greater than 0",
            ));
        }
        _ => {}
    }
    if which != "readinessProbe"
        && let Some(value) = integer(probe, "successThreshold").filter(|v| *v != 1)
    {
        errors.push(FieldError::invalid_number(&path.child("successThreshold"), value, "must be 1"));
    }
}

/// postStart and preStop.
pub(super) fn lifecycle(lifecycle: &Value, path: &Path, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        if !lifecycle[hook].is_null() {
            handler(&lifecycle[hook], &["exec", "httpGet", "tcpSocket", "sleep"], &path.child(hook), errors);
        }
    }
}

/// Exactly one way to act.
fn handler(handler: &Value, ways: &[&str], path: &Path, errors: &mut Errors) {
    let mut given = 0;
    for way in ways.iter().filter(|w| !handler[**w].is_null()) {
        given += 1;
        let at = path.child(way);
        if given > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        let action = &handler[*way];
        match *way {
            "exec" => {
                if items(action, "command").is_empty() {
                    errors.push(FieldError::required(&at.child("command"), ""));
                }
            }
            "httpGet" => {
                if text(action, "path").is_none_or(str::is_empty) {
                    errors.push(FieldError::required(&at.child("path"), ""));
                }
                port(&action["port"], &at.child("port"), errors);
                one_of(action, "scheme", &["HTTP", "HTTPS"], &at, errors);
                for (index, header) in items(action, "httpHeaders").iter().enumerate() {
                    let name = text(header, "name").unwrap_or_default();
                    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                        let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
                        errors.push(FieldError::invalid_text(
                            &at.child("httpHeaders").index(index).child("name"),
                            name,
                            detail,
                        ));
                    }
                }
            }
            "tcpSocket" => port(&action["port"], &at.child("port"), errors),
            "grpc" => port_number(integer(action, "port").unwrap_or(0), &at.child("port"), errors),
            _ => {
                if let Some(seconds) = integer(action, "seconds").filter(|s| *s < 0) {
                    errors.push(FieldError::invalid_number(
                        &at.child("seconds"),
                        seconds,
                        "must be greater than or equal to 0",
                    ));
                }
            }
        }
    }
    if given == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

/// A number, or the name of a container's port.
fn port(port: &Value, path: &Path, errors: &mut Errors) {
    match port {
        Value::String(name) => words(path, name, port_name(name), errors),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            port_number(port.as_i64().unwrap_or(0), path, errors);
        }
    }
}
