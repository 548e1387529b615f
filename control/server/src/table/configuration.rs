//! Rows of configuration and identity kinds: config maps, secrets, accounts, bindings, quotas, certificates. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Row;
use super::age::{age_at, human_duration};
use super::selector_text::NONE;
use crate::json_field::{condition, count, int_or_text, items, number, present, text};

const CREATED: &str = "/metadata/creationTimestamp";

pub(super) fn config_map(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(count(object, "/data") + count(object, "/binaryData")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/type")),
        json!(count(object, "/data")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn service_account(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(count(object, "/secrets")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn role_binding(object: &Value, now: Timestamp) -> Row {
    let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
    let subjects = |kind: &str| {
        let names: Vec<String> = items(object, "/subjects")
            .iter()
            .filter(|subject| text(subject, "/kind") == kind)
            .map(|subject| match kind {
                "ServiceAccount" => {
                    format!("{}/{}", text(subject, "/namespace"), text(subject, "/name"))
                }
                _ => text(subject, "/name").to_owned(),
            })
            .collect();
        names.join(", ")
    };
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(role),
        json!(age_at(object, CREATED, now)),
        json!(subjects("User")),
        json!(subjects("Group")),
        json!(subjects("ServiceAccount")),
    ])
}

pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Row {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = object.pointer("/status/hard").and_then(Value::as_object);
    for (resource, quantity) in hard.into_iter().flatten() {
        let used = object
            .pointer("/status/used")
            .and_then(|used| used.get(resource))
            .and_then(|used| int_or_text(used, ""))
            .unwrap_or_else(|| "0".to_owned());
        let allowed = int_or_text(quantity, "").unwrap_or_default();
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{resource}: {used}/{allowed}"));
    }
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(requests.join(", ")),
        json!(limits.join(", ")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn certificate_signing_request(object: &Value, now: Timestamp) -> Row {
    let duration = if present(object, "/spec/expirationSeconds") {
        human_duration(number(object, "/spec/expirationSeconds"))
    } else {
        NONE.to_owned()
    };
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(age_at(object, CREATED, now)),
        json!(text(object, "/spec/signerName")),
        json!(text(object, "/spec/username")),
        json!(duration),
        json!(signing_state(object)),
    ])
}

fn signing_state(request: &Value) -> String {
    let has = |kind| condition(request, "/status/conditions", kind).is_some();
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(request, "/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}
