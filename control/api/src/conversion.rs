//! Built-in kinds in several versions: what is stored in one is shown in another; from storage; to answers, and back; pure.

use serde_json::{Map, Value, json};

use crate::kinds::{Kind, split_api_version};
use crate::meta;

/// Where autoscaling/v1 keeps what it has no field for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Turns an object into the version of `to`, which must be a version of the same kind.
#[must_use]
pub fn convert(object: Value, to: &Kind) -> Value {
    convert_to(object, &to.api_version())
}

/// Turns an object into the version in which its kind is stored.
#[must_use]
pub fn to_storage(object: Value, kind: &Kind) -> Value {
    convert_to(object, &kind.storage_api_version)
}

fn convert_to(mut object: Value, api_version: &str) -> Value {
    let from = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    if from == api_version {
        return object;
    }
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = |v: &str| split_api_version(v).map(|(g, _)| g.to_owned()).unwrap_or_default();
    match (kind.as_str(), group(&from).as_str(), group(api_version).as_str()) {
        ("HorizontalPodAutoscaler", "autoscaling", _) if api_version.ends_with("/v1") => autoscaler_to_v1(&mut object),
        ("HorizontalPodAutoscaler", "autoscaling", _) => autoscaler_to_v2(&mut object),
        ("Event", "", "events.k8s.io") => rename(&mut object, &EVENT_FIELDS.map(|(core, events)| (core, events))),
        ("Event", "events.k8s.io", "") => rename(&mut object, &EVENT_FIELDS.map(|(core, events)| (events, core))),
        _ => {}
    }
    meta::as_map_mut(&mut object).insert("apiVersion".to_owned(), Value::String(api_version.to_owned()));
    object
}

/// Names of the same field in core/v1 and in events.k8s.io/v1.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(object: &mut Value, names: &[(&str, &str)]) {
    let map = meta::as_map_mut(object);
    for (from, to) in names {
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}

fn is_cpu_utilization(metric: &Value) -> bool {
    let resource = metric.get("resource");
    let target = resource.and_then(|r| r.get("target").or_else(|| r.get("current")));
    metric.get("type") == Some(&json!("Resource"))
        && resource.and_then(|r| r.get("name")) == Some(&json!("cpu"))
        && target.is_some_and(|t| t.get("averageUtilization").is_some_and(|u| !u.is_null()))
}

fn cpu_utilization(metric: &Value) -> Option<Value> {
    let resource = metric.get("resource")?;
    resource.get("target").or_else(|| resource.get("current"))?.get("averageUtilization").cloned()
}

fn list(map: &mut Map<String, Value>, field: &str) -> Vec<Value> {
    match map.remove(field) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn annotate(object: &mut Value, key: &str, value: &Value) {
    let annotations = meta::as_map_mut(meta::metadata_mut(object).entry("annotations").or_insert(Value::Null));
    annotations.insert(key.to_owned(), Value::String(value.to_string()));
}

/// Takes an annotation that holds JSON away; the map of annotations goes with its last entry.
fn take_annotation(object: &mut Value, key: &str) -> Option<Value> {
    let metadata = meta::metadata_mut(object);
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(key)?;
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

/// The first CPU utilisation becomes the field of v1; other metrics, conditions and behavior become annotations.
fn autoscaler_to_v1(object: &mut Value) {
    let spec = meta::map_mut(object, "spec");
    let mut metrics = list(spec, "metrics");
    let behavior = spec.remove("behavior").filter(|b| !b.is_null());
    if let Some(at) = metrics.iter().position(is_cpu_utilization) {
        let target = cpu_utilization(&metrics.remove(at));
        spec.extend(target.map(|t| ("targetCPUUtilizationPercentage".to_owned(), t)));
    }
    let status = meta::map_mut(object, "status");
    let mut current = list(status, "currentMetrics");
    let conditions = list(status, "conditions");
    if let Some(at) = current.iter().position(is_cpu_utilization) {
        let value = cpu_utilization(&current.remove(at));
        status.extend(value.map(|v| ("currentCPUUtilizationPercentage".to_owned(), v)));
    }
    for (key, items) in [(METRICS, metrics), (CURRENT_METRICS, current), (CONDITIONS, conditions)] {
        if !items.is_empty() {
            annotate(object, key, &Value::Array(items));
        }
    }
    if let Some(behavior) = behavior {
        annotate(object, BEHAVIOR, &behavior);
    }
}

fn autoscaler_to_v2(object: &mut Value) {
    let cpu = |field: &str, value: Value| {
        let mut inner = json!({"averageUtilization": value});
        if field == "target" {
            meta::as_map_mut(&mut inner).insert("type".to_owned(), json!("Utilization"));
        }
        json!({"type": "Resource", "resource": {"name": "cpu", field: inner}})
    };
    for (part, v1, v2, field, annotation) in [
        ("spec", "targetCPUUtilizationPercentage", "metrics", "target", METRICS),
        ("status", "currentCPUUtilizationPercentage", "currentMetrics", "current", CURRENT_METRICS),
    ] {
        let more = take_annotation(object, annotation);
        let map = meta::map_mut(object, part);
        let mut metrics: Vec<Value> = map.remove(v1).map(|v| cpu(field, v)).into_iter().collect();
        if let Some(Value::Array(more)) = more {
            metrics.extend(more);
        }
        if !metrics.is_empty() {
            map.insert(v2.to_owned(), Value::Array(metrics));
        }
    }
    for (part, field, annotation) in [("status", "conditions", CONDITIONS), ("spec", "behavior", BEHAVIOR)] {
        if let Some(value) = take_annotation(object, annotation) {
            meta::map_mut(object, part).insert(field.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::builtin;

    #[test]
    fn autoscalers_survive_both_ways() {
        let v1 = builtin().by_kind("autoscaling", "v1", "HorizontalPodAutoscaler").expect("there");
        let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {
            "maxReplicas": 3, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 1}}, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
                {"type": "Pods", "pods": {}}]}, "status": {"desiredReplicas": 1}});
        let shown = convert(v2.clone(), v1);
        assert_eq!(shown["apiVersion"], "autoscaling/v1");
        assert_eq!(shown["spec"]["targetCPUUtilizationPercentage"], 50);
        assert!(shown["metadata"]["annotations"][METRICS].as_str().is_some_and(|t| t.contains("Pods")));
        assert_eq!(to_storage(shown, v1), v2);
    }

    #[test]
    fn events_change_their_names() {
        let events = builtin().by_kind("events.k8s.io", "v1", "Event").expect("there");
        let core =
            json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"name": "p"}, "message": "m", "count": 2});
        let shown = convert(core.clone(), events);
        assert_eq!(shown["regarding"]["name"], "p");
        assert_eq!((&shown["note"], &shown["deprecatedCount"]), (&json!("m"), &json!(2)));
        assert_eq!(to_storage(shown, events), core);
    }
}
