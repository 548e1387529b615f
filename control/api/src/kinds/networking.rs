//! `NetworkPolicy`, Ingress, `IngressClass`, `ServiceCIDR` and `IPAddress`: defaults and rules; pure.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::field_rules::{immutable, one_of, required, texts};
use super::pod_validation::{Errors, integer, items, label_selector, port_name, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::{absent, absent_texts, each, object_at};
use crate::strategy::{Part, Strategy};

mod address;
mod ingress;

pub(super) use address::{IpAddress, ServiceCidr, cidr_problem};
pub(super) use ingress::{Ingress, IngressClass};

#[derive(Debug)]
pub(super) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn defaults(&self, object: &mut Value) {
        let Some(Value::Object(spec)) = object.get_mut("spec") else { return };
        for direction in ["ingress", "egress"] {
            each(spec, direction, |rule| {
                each(rule, "ports", |port| absent_texts(port, &[("protocol", "TCP")]));
            });
        }
        let some = |field: &str| spec.get(field).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !some("policyTypes") {
            let types = if some("egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            spec.insert("policyTypes".to_owned(), types);
        }
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        label_selector(&spec["podSelector"], &path.child("podSelector"), &mut errors);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in items(spec, direction).iter().enumerate() {
                let at = path.child(direction).index(index);
                for (number, port) in items(rule, "ports").iter().enumerate() {
                    policy_port(port, &at.child("ports").index(number), &mut errors);
                }
                for (number, peer) in items(rule, peers).iter().enumerate() {
                    policy_peer(peer, &at.child(peers).index(number), &mut errors);
                }
            }
        }
        let types = texts(spec, "policyTypes");
        let at = path.child("policyTypes");
        if types.len() > 2 {
            errors.push(FieldError::invalid(&at, &spec["policyTypes"], "may not specify more than two policyTypes"));
        } else {
            for (index, kind) in types.iter().enumerate() {
                if !["Ingress", "Egress"].contains(kind) {
                    let supported = &["Egress", "Ingress"];
                    errors.push(FieldError::not_supported(&at.index(index), &json!(kind), supported));
                }
            }
        }
        errors
    }
}

fn policy_port(port: &Value, path: &Path, errors: &mut Errors) {
    one_of(port, "protocol", &["TCP", "UDP", "SCTP"], true, path, errors);
    let number = &port["port"];
    if let Some(number) = number.as_i64() {
        if let Some(end) = integer(port, "endPort") {
            if end < number {
                let detail = "must be greater than or equal to `port`";
                errors.push(FieldError::invalid_number(&path.child("endPort"), end, detail));
            }
            port_number(end, &path.child("endPort"), errors);
        }
        port_number(number, &path.child("port"), errors);
    } else if !port["endPort"].is_null() {
        let detail = "may not be specified when `port` is not specified";
        let named = "may not be specified when `port` is non-numeric";
        let detail = if number.is_null() { detail } else { named };
        errors.push(FieldError::invalid(&path.child("endPort"), &port["endPort"], detail));
    }
    if let Some(name) = number.as_str() {
        words(&path.child("port"), name, port_name(name), errors);
    }
}

fn port_number(number: i64, path: &Path, errors: &mut Errors) {
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid_number(path, number, "must be between 1 and 65535, inclusive"));
    }
}

fn policy_peer(peer: &Value, path: &Path, errors: &mut Errors) {
    let given = ["podSelector", "namespaceSelector", "ipBlock"].into_iter().filter(|field| !peer[*field].is_null());
    for field in ["podSelector", "namespaceSelector"] {
        if !peer[field].is_null() {
            label_selector(&peer[field], &path.child(field), errors);
        }
    }
    let block = &peer["ipBlock"];
    if !block.is_null() {
        ip_block(block, &path.child("ipBlock"), errors);
    }
    let count = given.count();
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 1 && !block.is_null() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn ip_block(block: &Value, path: &Path, errors: &mut Errors) {
    let cidr = text(block, "cidr").unwrap_or_default();
    let at = path.child("cidr");
    if cidr.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    if let Some(problem) = cidr_problem(cidr) {
        errors.push(FieldError::invalid_text(&at, cidr, problem));
        return;
    }
    for (index, except) in texts(block, "except").into_iter().enumerate() {
        let at = path.child("except").index(index);
        if let Some(problem) = cidr_problem(except) {
            errors.push(FieldError::invalid_text(&at, except, problem));
        } else if !address::contains_strictly(cidr, except) {
            errors.push(FieldError::invalid_text(&at, except, "must be a strict subset of `cidr`"));
        }
    }
}

/// Addresses and names that a load balancer reports.
fn load_balancer_status(status: &Value, path: &Path, errors: &mut Errors) {
    for (index, ingress) in items(status, "ingress").iter().enumerate() {
        let at = path.child("ingress").index(index);
        if let Some(ip) = text(ingress, "ip").filter(|ip| !ip.is_empty())
            && ip.parse::<IpAddr>().is_err()
        {
            errors.push(FieldError::invalid_text(
                &at.child("ip"),
                ip,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        }
        if let Some(host) = text(ingress, "hostname").filter(|host| !host.is_empty()) {
            let at = at.child("hostname");
            words(&at, host, name::dns_subdomain(host, false), errors);
            if host.parse::<IpAddr>().is_ok() {
                errors.push(FieldError::invalid_text(&at, host, "must be a DNS name, not an IP address"));
            }
        }
    }
}

/// A path such as `acme.io/foo`, as controllers are named.
pub(super) fn domain_prefixed_path(value: &str, path: &Path, errors: &mut Errors) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let parts = value.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty());
    let Some((domain, rest)) = parts else {
        errors.push(FieldError::invalid_text(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")"));
        return;
    };
    words(path, domain, name::dns_subdomain(domain, false), errors);
    let good = |c: char| c.is_ascii_alphanumeric() || "/%:._~!$&'()*+,;=-".contains(c);
    if !rest.chars().all(good) {
        let pattern = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
        let detail = name::regex_error("Invalid path", pattern, &[]);
        errors.push(FieldError::invalid_text(path, rest, detail));
    }
}
