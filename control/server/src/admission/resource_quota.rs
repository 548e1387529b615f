//! `ResourceQuota`: what an accepted object uses up of its namespace's quotas, or why it does not fit. Pure over the lister.

pub(super) mod usage;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use self::usage::{Usage, missing_requests, usage_of};
use super::pod_resources::{Resources, resources};
use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{items, text};

/// A quota with what the request adds to its `status.used`. To be written only if the quota is still at this resource version;
/// otherwise the charges are to be worked out anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// The whole quota with raised `status.used`.
    pub quota: Value,
}

/// What has to be charged before the object is stored; nothing on a dry run.
///
/// # Errors
/// When the object does not fit into a quota, or lacks a request that a quota asks for.
pub fn charges(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<Vec<Charge>, Rejection> {
    if attributes.namespace.is_empty() || !is_charged(attributes) {
        return Ok(Vec::new());
    }
    let quotas = lister.list("", "resourcequotas", attributes.namespace);
    if quotas.is_empty() {
        return Ok(Vec::new());
    }
    let usage = usage_of(attributes.kind, object);
    let interested: Vec<&Arc<Value>> = quotas.iter().filter(|quota| usage.in_scope(object, quota)).collect();
    let mut delta = usage.used.clone();
    if let (Operation::Update, Some(old)) = (attributes.operation, old) {
        subtract(&mut delta, &usage_of(attributes.kind, old).used);
    }
    delta.retain(|_, value| !value.is_zero());
    let mut charges = Vec::new();
    for quota in interested {
        if let Some(charge) = charge(attributes, quota, object, &usage, &delta)? {
            charges.push(charge);
        }
    }
    Ok(if attributes.dry_run { Vec::new() } else { charges })
}

/// Everything is counted when it is made; services and claims may also grow.
fn is_charged(attributes: &Attributes<'_>) -> bool {
    let grows = attributes.is("", "services") || attributes.is("", "persistentvolumeclaims");
    match attributes.operation {
        Operation::Create => attributes.subresource.is_empty(),
        Operation::Update => grows || attributes.is_part("", "pods", "resize"),
        Operation::Delete | Operation::Connect => false,
    }
}

fn charge(
    attributes: &Attributes<'_>,
    quota: &Value,
    object: &Value,
    usage: &Usage,
    delta: &Resources,
) -> Result<Option<Charge>, Rejection> {
    let name = text(quota, "/metadata/name");
    let (hard, used) = (resources(quota, "/status/hard"), resources(quota, "/status/used"));
    let matched: Vec<&str> = hard.keys().map(String::as_str).filter(|name| usage.counts(name)).collect();
    if matched.is_empty() {
        return Ok(None);
    }
    if attributes.kind.group.is_empty() && attributes.kind.plural == "pods" {
        let missing = missing_requests(object, &matched);
        if !missing.is_empty() {
            return Err(Rejection::forbidden(format!("failed quota: {name}: must specify {missing}")));
        }
    }
    let unknown: Vec<&str> = matched.iter().copied().filter(|name| !used.contains_key(*name)).collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(",");
        return Err(Rejection::forbidden(format!("status unknown for quota: {name}, resources: {unknown}")));
    }
    let requested: Resources =
        delta.iter().filter(|(name, _)| hard.contains_key(*name)).map(|(name, value)| (name.clone(), *value)).collect();
    if requested.is_empty() {
        return Ok(None);
    }
    let mut after = used.clone();
    for (name, value) in &requested {
        let sum = used.get(name).map_or(*value, |before| before.plus(*value));
        after.insert(name.clone(), sum);
    }
    let exceeded: Vec<&str> =
        requested.keys().map(String::as_str).filter(|name| after.get(*name) > hard.get(*name)).collect();
    if !exceeded.is_empty() {
        let (requested, used, hard) = (show(&requested, &exceeded), show(&used, &exceeded), show(&hard, &exceeded));
        return Err(Rejection::forbidden(format!(
            "exceeded quota: {name}, requested: {requested}, used: {used}, limited: {hard}"
        )));
    }
    let mut charged = quota.clone();
    let used: Map<String, Value> = after.iter().map(|(name, value)| (name.clone(), json!(value.to_string()))).collect();
    crate::json_field::set(&mut charged, "/status", "used", Value::Object(used));
    Ok(Some(Charge { quota: charged }))
}

fn subtract(from: &mut Resources, before: &Resources) {
    for (name, value) in from {
        if let Some(before) = before.get(name) {
            let difference = value.minus(*before);
            *value = if difference.signum() < 0 { skep_api::quantity::Quantity::ZERO } else { difference };
        }
    }
}

fn show(values: &Resources, names: &[&str]) -> String {
    let shown: Vec<String> =
        names.iter().filter_map(|name| values.get(*name).map(|value| format!("{name}={value}"))).collect();
    shown.join(",")
}

/// Scopes of a quota: the plain list and the selector's expressions, as (scope, operator, values).
fn scopes(quota: &Value) -> Vec<(&str, &str, Vec<&str>)> {
    let plain =
        items(quota, "/spec/scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", Vec::new()));
    let selected = items(quota, "/spec/scopeSelector/matchExpressions").iter().map(|expression| {
        let values = crate::json_field::texts(expression, "/values");
        (text(expression, "/scopeName"), text(expression, "/operator"), values)
    });
    plain.chain(selected).collect()
}
