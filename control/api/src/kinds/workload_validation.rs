//! The rules of kinds that make pods from a template, in upstream's words (`pkg/apis/apps/validation` and core, v1.34); from strategies; pure.

use serde_json::Value;

use super::pod_validation::{self, Errors, integer, items, label_selector, text, words};
use crate::field::{FieldError, Path};
use crate::name;

const NEGATIVE: &str = "must be greater than or equal to 0";

/// Rules of a Deployment's spec.
pub fn deployment(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    selector_and_template(spec, "deployment", &path, errors);
    not_negative(
        spec,
        &["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"],
        &path,
        errors,
    );
    deployment_strategy(&spec["strategy"], &path.child("strategy"), errors);
    if let Some(deadline) = integer(spec, "progressDeadlineSeconds")
        && deadline <= integer(spec, "minReadySeconds").unwrap_or(0)
    {
        errors.push(FieldError::invalid_number(
            &path.child("progressDeadlineSeconds"),
            deadline,
            "must be greater than minReadySeconds",
        ));
    }
}

/// Rules of a change of Deployments, ReplicaSets and DaemonSets: the selector stays.
pub fn selector_is_kept(new: &Value, old: &Value, errors: &mut Errors) {
    let (now, before) = (&new["spec"]["selector"], &old["spec"]["selector"]);
    if now != before {
        errors.push(FieldError::invalid(&Path::new("spec").child("selector"), now, "field is immutable"));
    }
}

fn deployment_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        Some("Recreate") => {
            if !rolling.is_null() {
                errors.push(FieldError::forbidden(
                    &path.child("rollingUpdate"),
                    "may not be specified when strategy `type` is 'Recreate'",
                ));
            }
        }
        Some("RollingUpdate") => {
            if rolling.is_null() {
                errors.push(FieldError::required(
                    &path.child("rollingUpdate"),
                    "this should be defaulted and never be nil",
                ));
            } else {
                rolling_update(rolling, &path.child("rollingUpdate"), errors);
            }
        }
        _ => errors.push(FieldError::not_supported(
            &path.child("type"),
            &Value::from(text(strategy, "type").unwrap_or_default()),
            &["Recreate", "RollingUpdate"],
        )),
    }
}

fn rolling_update(rolling: &Value, path: &Path, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        count_or_percent(&rolling[field], &path.child(field), errors);
    }
    if is_zero(&rolling["maxUnavailable"]) && is_zero(&rolling["maxSurge"]) {
        let shown = &rolling["maxUnavailable"];
        errors.push(FieldError::invalid(&path.child("maxUnavailable"), shown, "may not be 0 when `maxSurge` is 0"));
    }
    not_over_all(&rolling["maxUnavailable"], &path.child("maxUnavailable"), errors);
}

fn is_zero(value: &Value) -> bool {
    value.as_i64() == Some(0) || percent(value) == Some(0)
}

fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// A number that is not negative, or a percentage.
pub(crate) fn count_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::String(given) => {
            if given.strip_suffix('%').is_none_or(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_digit())) {
                let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                errors.push(FieldError::invalid_text(path, given, detail));
            }
        }
        Value::Number(_) => {
            if let Some(number) = value.as_i64().filter(|n| *n < 0) {
                errors.push(FieldError::invalid_number(path, number, NEGATIVE));
            }
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
    }
}

fn not_over_all(value: &Value, path: &Path, errors: &mut Errors) {
    if percent(value).is_some_and(|p| p > 100) {
        errors.push(FieldError::invalid(path, value, "must not be greater than 100%"));
    }
}

/// Rules of a ReplicaSet's spec.
pub fn replica_set(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    not_negative(spec, &["replicas", "minReadySeconds"], &path, errors);
    selector_and_template(spec, "replicaset", &path, errors);
}

/// Rules of a ReplicationController's spec: its selector is a plain map.
pub fn replication_controller(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    not_negative(spec, &["minReadySeconds", "replicas"], &path, errors);
    let selector = spec["selector"].as_object().filter(|s| !s.is_empty());
    if selector.is_none() {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    let at = path.child("template");
    if spec["template"].is_null() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if selector.is_some_and(|s| s.iter().any(|(key, value)| labels[key] != *value)) {
        mismatch(labels, &at, errors);
    }
    template(&spec["template"], &at, errors);
    always_restarts(&spec["template"], &at, errors);
}

/// Rules of a StatefulSet's spec.
pub fn stateful_set(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    match text(spec, "podManagementPolicy").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid_text(
            &path.child("podManagementPolicy"),
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    match text(strategy, "type").unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        "OnDelete" => {
            if !strategy["rollingUpdate"].is_null() {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(FieldError::invalid(&at.child("rollingUpdate"), &strategy["rollingUpdate"], detail));
            }
        }
        "RollingUpdate" => {
            not_negative(&strategy["rollingUpdate"], &["partition"], &at.child("rollingUpdate"), errors);
            count_or_percent(
                &strategy["rollingUpdate"]["maxUnavailable"],
                &at.child("rollingUpdate").child("maxUnavailable"),
                errors,
            );
        }
        other => {
            let shown = format!("{{\"Type\":\"{other}\",\"RollingUpdate\":null}}");
            errors.push(FieldError::invalid_shown(&at, shown, "must be 'RollingUpdate' or 'OnDelete'"));
        }
    }
    not_negative(spec, &["replicas", "minReadySeconds"], &path, errors);
    not_negative(&spec["ordinals"], &["start"], &path.child("ordinals"), errors);
    if let Some(service) = text(spec, "serviceName").filter(|s| !s.is_empty()) {
        words(&path.child("serviceName"), service, name::dns_label(service, false), errors);
    }
    selector_and_template(spec, "statefulset", &path, errors);
}

/// What of a StatefulSet stays: names, storage and selector are bound to pods that exist.
pub fn stateful_set_update(new: &Value, old: &Value, errors: &mut Errors) {
    let frozen = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            for field in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                fields.remove(field);
            }
        }
        spec
    };
    if frozen(new) != frozen(old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(&Path::new("spec"), detail));
    }
}

/// Rules of a DaemonSet's spec.
pub fn daemon_set(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    selector_and_template(spec, "daemonset", &path, errors);
    not_negative(spec, &["minReadySeconds", "revisionHistoryLimit"], &path, errors);
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    match text(strategy, "type").unwrap_or_default() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let (rolling, at) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
            if rolling.is_null() {
                errors.push(FieldError::required(&at, ""));
                return;
            }
            for field in ["maxUnavailable", "maxSurge"] {
                count_or_percent(&rolling[field], &at.child(field), errors);
                not_over_all(&rolling[field], &at.child(field), errors);
            }
            let zero = |field: &str| rolling[field].is_null() || is_zero(&rolling[field]);
            if !zero("maxUnavailable") && !zero("maxSurge") {
                errors.push(FieldError::invalid(
                    &at.child("maxSurge"),
                    &rolling["maxSurge"],
                    "may not be set when maxUnavailable is non-zero",
                ));
            } else if zero("maxUnavailable") && zero("maxSurge") {
                errors.push(FieldError::required(&at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
            }
        }
        other => {
            let shown = format!("{{\"Type\":\"{other}\",\"RollingUpdate\":null}}");
            let error = FieldError::not_supported(&at, &Value::Null, &["RollingUpdate", "OnDelete"]);
            errors.push(FieldError { shown: Some(shown), ..error });
        }
    }
}

/// Rules of a pod template.
pub fn template(template: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("metadata").child("labels");
    for (key, value) in template["metadata"]["labels"].as_object().into_iter().flatten() {
        words(&at, key, name::qualified_name(key), errors);
        let value = value.as_str().unwrap_or_default();
        words(&at, value, name::label_value(value), errors);
    }
    let at = path.child("metadata").child("annotations");
    for (key, _) in template["metadata"]["annotations"].as_object().into_iter().flatten() {
        words(&at, key, name::qualified_name(&key.to_lowercase()), errors);
    }
    pod_validation::pod_spec(&template["spec"], &path.child("spec"), errors);
    if !items(&template["spec"], "ephemeralContainers").is_empty() {
        let at = path.child("spec").child("ephemeralContainers");
        errors.push(FieldError::forbidden(&at, "ephemeral containers not allowed in pod template"));
    }
}

/// Selector there, not empty, and met by the template's labels; the template good, and of pods that live on.
fn selector_and_template(spec: &Value, what: &str, path: &Path, errors: &mut Errors) {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    let empty = items(selector, "matchExpressions").is_empty()
        && selector["matchLabels"].as_object().is_none_or(serde_json::Map::is_empty);
    if selector.is_null() {
        errors.push(FieldError::required(&at, ""));
    } else {
        label_selector(selector, &at, errors);
        if empty {
            errors.push(FieldError::invalid(&at, selector, format!("empty selector is invalid for {what}")));
        }
    }
    let at = path.child("template");
    let labels = &spec["template"]["metadata"]["labels"];
    // No selector selects nothing, an empty one everything.
    if selector.is_null() || !empty && !meets(selector, labels) {
        mismatch(labels, &at, errors);
    }
    template(&spec["template"], &at, errors);
    always_restarts(&spec["template"], &at, errors);
    if integer(&spec["template"]["spec"], "activeDeadlineSeconds").is_some() {
        errors.push(FieldError::forbidden(
            &at.child("spec").child("activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {} is not Supported", title(what)),
        ));
    }
}

/// A kind's name as that one message spells it.
fn title(what: &str) -> &'static str {
    match what {
        "deployment" | "replicaset" => "ReplicaSet",
        "statefulset" => "StatefulSet",
        _ => "DaemonSet",
    }
}

fn mismatch(labels: &Value, template: &Path, errors: &mut Errors) {
    let at = template.child("metadata").child("labels");
    errors.push(FieldError::invalid(&at, labels, "`selector` does not match template `labels`"));
}

fn always_restarts(template: &Value, path: &Path, errors: &mut Errors) {
    if let Some(policy) = text(&template["spec"], "restartPolicy").filter(|p| ["OnFailure", "Never"].contains(p)) {
        let at = path.child("spec").child("restartPolicy");
        errors.push(FieldError::not_supported(&at, &Value::from(policy), &["Always"]));
    }
}

/// Whether labels meet a selector; one that is malformed meets nothing.
fn meets(selector: &Value, labels: &Value) -> bool {
    let plain = selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value);
    plain
        && items(selector, "matchExpressions").iter().all(|rule| {
            let value = &labels[text(rule, "key").unwrap_or_default()];
            match text(rule, "operator") {
                Some("In") => !value.is_null() && items(rule, "values").contains(value),
                Some("NotIn") => value.is_null() || !items(rule, "values").contains(value),
                Some("Exists") => !value.is_null(),
                Some("DoesNotExist") => value.is_null(),
                _ => false,
            }
        })
}

fn not_negative(object: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if let Some(value) = integer(object, field).filter(|v| *v < 0) {
            errors.push(FieldError::invalid_number(&path.child(field), value, NEGATIVE));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod_template(policy: &str) -> Value {
        json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": policy, "dnsPolicy": "ClusterFirst"}})
    }

    fn broken(check: fn(&Value, &mut Errors), spec: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&json!({"spec": spec}), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn selectors_meet_templates() {
        let spec = json!({"selector": {"matchLabels": {"app": "z"}}, "template": pod_template("Always")});
        assert_eq!(
            broken(replica_set, spec),
            [
                r#"spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`"#
            ]
        );
        let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": pod_template("OnFailure")});
        assert_eq!(
            broken(replica_set, spec),
            [r#"spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always""#]
        );
        assert_eq!(broken(replica_set, json!({})).len(), 3);
    }

    #[test]
    fn strategies() {
        let spec = |strategy: Value| json!({"selector": {"matchLabels": {"app": "a"}}, "template": pod_template("Always"), "strategy": strategy});
        assert_eq!(
            broken(
                deployment,
                spec(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}))
            ),
            Vec::<String>::new()
        );
        assert_eq!(broken(deployment, spec(json!({"type": "Recreate", "rollingUpdate": {}}))).len(), 1);
        let none = spec(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}));
        assert_eq!(
            broken(deployment, none),
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
        );
    }

    #[test]
    fn stateful_sets_keep_what_pods_are_bound_to() {
        let object =
            |policy: &str, replicas: i64| json!({"spec": {"podManagementPolicy": policy, "replicas": replicas}});
        let mut errors = Vec::new();
        stateful_set_update(&object("OrderedReady", 2), &object("OrderedReady", 1), &mut errors);
        assert_eq!(errors, []);
        stateful_set_update(&object("Parallel", 1), &object("OrderedReady", 1), &mut errors);
        assert_eq!(errors.len(), 1);
    }
}
