//! `HorizontalPodAutoscaler`, written as either version; pure.

use serde_json::{Map, Value, json};

use super::pod_validation::{Errors, integer, items, text, words};
use crate::field::{FieldError, Path};
use crate::name;
use crate::schema::default::absent;
use crate::strategy::Strategy;

/// Percent of the requested CPU that is aimed at when nothing is said.
const CPU_PERCENT: i64 = 80;
const SOURCES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

#[derive(Debug)]
pub(super) struct HorizontalPodAutoscaler;

impl Strategy for HorizontalPodAutoscaler {
    fn defaults(&self, object: &mut Value) {
        let old = text(object, "apiVersion") == Some("autoscaling/v1");
        let annotated =
            crate::meta::annotations(object).any(|(key, _)| key == "autoscaling.alpha.kubernetes.io/metrics");
        let Some(Value::Object(spec)) = object.get_mut("spec") else { return };
        absent(spec, "minReplicas", 1);
        if old {
            if !annotated {
                absent(spec, "targetCPUUtilizationPercentage", CPU_PERCENT);
            }
            return;
        }
        if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let target = json!({"type": "Utilization", "averageUtilization": CPU_PERCENT});
            let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
            spec.insert("metrics".to_owned(), json!([cpu]));
        }
        if let Some(Value::Object(behavior)) = spec.get_mut("behavior") {
            let up = json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]);
            let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
            scaling(behavior, "scaleUp", up, Some(0));
            scaling(behavior, "scaleDown", down, None);
        }
    }

    fn has_status(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        replicas(spec, &path, &mut errors);
        target(&spec["scaleTargetRef"], &path.child("scaleTargetRef"), &mut errors);
        let metrics = items(spec, "metrics");
        for (index, metric) in metrics.iter().enumerate() {
            source(metric, &path.child("metrics").index(index), &mut errors);
        }
        if integer(spec, "minReplicas") == Some(0)
            && !metrics.iter().any(|metric| matches!(text(metric, "type"), Some("Object" | "External")))
        {
            let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
            errors.push(FieldError::forbidden(&path.child("metrics"), detail));
        }
        errors
    }
}

fn scaling(behavior: &mut Map<String, Value>, direction: &str, policies: Value, window: Option<i64>) {
    let rules = crate::meta::as_map_mut(behavior.entry(direction).or_insert(Value::Null));
    absent(rules, "selectPolicy", "Max");
    if let Some(seconds) = window {
        absent(rules, "stabilizationWindowSeconds", seconds);
    }
    absent(rules, "policies", policies);
}

fn replicas(spec: &Value, path: &Path, errors: &mut Errors) {
    let (least, most) = (integer(spec, "minReplicas"), integer(spec, "maxReplicas").unwrap_or(0));
    if let Some(least) = least
        && least < 1
    {
        errors.push(FieldError::invalid_number(
            &path.child("minReplicas"),
            least,
            "must be greater than or equal to 1",
        ));
    }
    if most < 1 {
        errors.push(FieldError::invalid_number(&path.child("maxReplicas"), most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid_number(&path.child("maxReplicas"), most, detail));
    }
}

/// A reference to the object that is scaled, or described by a metric.
fn target(target: &Value, path: &Path, errors: &mut Errors) {
    for field in ["kind", "name"] {
        match text(target, field).unwrap_or_default() {
            "" => errors.push(FieldError::required(&path.child(field), "")),
            value => words(&path.child(field), value, name::path_segment(value, false), errors),
        }
    }
    let version = text(target, "apiVersion").unwrap_or_default();
    let core = matches!(text(target, "kind"), Some("ReplicationController")) && version == "v1";
    if !core && version.split_once('/').is_none_or(|(group, _)| group.is_empty()) {
        let detail = "apiVersion must specify API group";
        errors.push(FieldError::invalid_text(&path.child("apiVersion"), version, detail));
    }
}

fn source(metric: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(metric, "type").unwrap_or_default();
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric source type"));
    }
    let field = match kind {
        "ContainerResource" => "containerResource",
        "External" => "external",
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        _ => {
            // Upstream finds it twice.
            for _ in 0..2 {
                errors.push(FieldError::not_supported(&path.child("type"), &Value::from(kind), &SOURCES));
            }
            return;
        }
    };
    let given = &metric[field];
    let at = path.child(field);
    if given.is_null() {
        errors.push(FieldError::required(&at, "must populate information for the given metric source"));
        return;
    }
    for other in ["containerResource", "external", "object", "pods", "resource"] {
        if other != field && !metric[other].is_null() {
            let detail = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(other), detail));
        }
    }
    if matches!(field, "resource" | "containerResource") && text(given, "name").unwrap_or_default().is_empty() {
        errors.push(FieldError::required(&at.child("name"), "must specify a resource name"));
    }
    if field == "object" {
        target(&given["describedObject"], &at.child("describedObject"), errors);
    }
    goal(&given["target"], &at.child("target"), errors);
}

fn goal(goal: &Value, path: &Path, errors: &mut Errors) {
    match text(goal, "type").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("type"), "must specify a metric target type")),
        "Utilization" | "Value" | "AverageValue" => {}
        other => {
            let detail = "must be either Utilization, Value, or AverageValue";
            errors.push(FieldError::invalid_text(&path.child("type"), other, detail));
        }
    }
    if let Some(percent) = integer(goal, "averageUtilization")
        && percent < 1
    {
        errors.push(FieldError::invalid_number(&path.child("averageUtilization"), percent, "must be greater than 0"));
    }
}
