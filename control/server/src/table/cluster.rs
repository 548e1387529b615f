//! Rows of cluster kinds: nodes, namespaces, leases, classes, events, API services. From [`super::printer`]. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Row;
use super::age::{UNKNOWN, age_at, timestamp_at};
use super::selector_text::NONE;
use crate::json_field::{condition, flag, int_or_text, items, number, pairs, present, text, text_or};

const CREATED: &str = "/metadata/creationTimestamp";

pub(super) fn node(object: &Value, now: Timestamp) -> Row {
    let ready = condition(object, "/status/conditions", "Ready");
    let mut status = match ready.map(|ready| text(ready, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(object, "/spec/unschedulable") == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let info = |field: &str| text(object, &format!("/status/nodeInfo/{field}"));
    let known = |field: &str| Some(info(field)).filter(|found| !found.is_empty());
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(status),
        json!(roles(object)),
        json!(age_at(object, CREATED, now)),
        json!(info("kubeletVersion")),
        json!(address(object, "InternalIP")),
        json!(address(object, "ExternalIP")),
        json!(known("osImage").unwrap_or(UNKNOWN)),
        json!(known("kernelVersion").unwrap_or(UNKNOWN)),
        json!(known("containerRuntimeVersion").unwrap_or(UNKNOWN)),
    ])
}

fn roles(node: &Value) -> String {
    let roles: BTreeSet<&str> = pairs(node, "/metadata/labels")
        .filter_map(|(key, value)| {
            key.strip_prefix("node-role.kubernetes.io/").or_else(|| (key == "kubernetes.io/role").then_some(value))
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() {
        return NONE.to_owned();
    }
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    condition(node, "/status/addresses", kind).map_or(NONE, |found| text(found, "/address"))
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/status/phase")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn component_status(object: &Value, _now: Timestamp) -> Row {
    let healthy = condition(object, "/conditions", "Healthy");
    let status = match healthy.map(|condition| text(condition, "/status")) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let of = |pointer| healthy.map_or("", |condition| text(condition, pointer));
    Row::of(vec![json!(text(object, "/metadata/name")), json!(status), json!(of("/message")), json!(of("/error"))])
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/holderIdentity")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/handler")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(number(object, "/value")),
        json!(flag(object, "/globalDefault").unwrap_or(false)),
        json!(age_at(object, CREATED, now)),
        json!(text(object, "/preemptionPolicy")),
    ])
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Row {
    let service = object.pointer("/spec/service").map_or_else(
        || "Local".to_owned(),
        |service| format!("{}/{}", text(service, "/namespace"), text(service, "/name")),
    );
    let available = condition(object, "/status/conditions", "Available").map_or_else(
        || "Unknown".to_owned(),
        |available| match text(available, "/status") {
            "True" => "True".to_owned(),
            status => format!("{status} ({})", text(available, "/reason")),
        },
    );
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(service),
        json!(available),
        json!(age_at(object, CREATED, now)),
    ])
}

/// An event of either group: core's field names first, those of `events.k8s.io` where the former are missing.
pub(super) fn event(object: &Value, now: Timestamp) -> Row {
    let either = |core: &'static str, newer: &'static str| {
        if present(object, core) { core } else { newer }
    };
    let first_at = either("/firstTimestamp", "/deprecatedFirstTimestamp");
    let first = if timestamp_at(object, first_at).is_some() {
        age_at(object, first_at, now)
    } else {
        age_at(object, "/eventTime", now)
    };
    let last_at = either("/lastTimestamp", "/deprecatedLastTimestamp");
    let mut last = if timestamp_at(object, last_at).is_some() { age_at(object, last_at, now) } else { first.clone() };
    let mut count = number(object, either("/count", "/deprecatedCount"));
    if present(object, "/series") {
        last = age_at(object, "/series/lastObservedTime", now);
        count = number(object, "/series/count");
    } else if count == 0 {
        count = 1;
    }
    let about = object.pointer(either("/involvedObject", "/regarding")).unwrap_or(&Value::Null);
    let kind = text(about, "/kind").to_lowercase();
    let target = match text(about, "/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = object.pointer(either("/source", "/deprecatedSource")).unwrap_or(&Value::Null);
    Row::of(vec![
        json!(last),
        json!(text(object, "/type")),
        json!(text(object, "/reason")),
        json!(target),
        json!(text(about, "/fieldPath")),
        json!(event_source(object, source)),
        json!(text(object, either("/message", "/note")).trim()),
        json!(first),
        json!(count),
        json!(text(object, "/metadata/name")),
    ])
}

fn event_source(event: &Value, source: &Value) -> String {
    // core names it reportingComponent, events.k8s.io reportingController.
    let reporter = text_or(event, "/reportingComponent", text(event, "/reportingController"));
    let component = text_or(source, "/component", reporter);
    match text_or(source, "/host", text(event, "/reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Row {
    let dangling = condition(object, "/status/conditions", "Dangling");
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text_or(object, "/spec/priorityLevelConfiguration/name", NONE)),
        json!(number(object, "/spec/matchingPrecedence")),
        json!(text_or(object, "/spec/distinguisherMethod/type", NONE)),
        json!(age_at(object, CREATED, now)),
        json!(dangling.map_or("?", |condition| text(condition, "/status"))),
    ])
}

pub(super) fn priority_level(object: &Value, now: Timestamp) -> Row {
    let of = |pointer| object.pointer(pointer).cloned().unwrap_or_else(|| json!(NONE));
    let queuing = "/spec/limited/limitResponse/queuing";
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/type")),
        of("/spec/limited/nominalConcurrencyShares"),
        of(&format!("{queuing}/queues")),
        of(&format!("{queuing}/handSize")),
        of(&format!("{queuing}/queueLengthLimit")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn webhook_configuration(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(items(object, "/webhooks").len()),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn admission_policy(object: &Value, now: Timestamp) -> Row {
    let parameters = object
        .pointer("/spec/paramKind")
        .map_or_else(|| "<unset>".to_owned(), |kind| format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")));
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(items(object, "/spec/validations").len()),
        json!(parameters),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn admission_policy_binding(object: &Value, now: Timestamp) -> Row {
    let parameter = int_or_text(object, "/spec/paramRef/name").map_or_else(
        || "<unset>".to_owned(),
        |name| format!("{}/{name}", text_or(object, "/spec/paramRef/namespace", "*")),
    );
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/policyName")),
        json!(parameter),
        json!(age_at(object, CREATED, now)),
    ])
}
