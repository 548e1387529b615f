//! Pod; pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{pod_spec, pod_validation, pod_warnings};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::quantity::Quantity;
use crate::schema::default::mirrored;
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct Pod;

impl Strategy for Pod {
    fn defaults(&self, object: &mut Value) {
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            pod_spec::pod_spec(spec);
            pod_spec::own_pod_spec(spec);
        }
        if let Some(Value::Object(status)) = object.get_mut("status") {
            mirrored(status, "podIP", "podIPs", |ip| json!({"ip": ip}), |entry| entry["ip"].as_str());
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        drop_unserved_restart_policies(object);
        let class = quality_of_service(object);
        let mut status = json!({"phase": "Pending", "qosClass": class});
        if !pod_validation::items(&object["spec"], "schedulingGates").is_empty() {
            let now = object["metadata"]["creationTimestamp"].clone();
            status["conditions"] = json!([{
                "lastTransitionTime": now,
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
        meta::as_map_mut(object).insert("status".to_owned(), status);
        if object["spec"]["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
            object["spec"]["terminationGracePeriodSeconds"] = json!(1);
        }
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        if part == Part::Status {
            // The deletion belongs to DELETE, owners to the main resource.
            let metadata = meta::metadata_mut(new);
            metadata.remove("ownerReferences");
            let owners = old.get("metadata").and_then(|m| m.get("ownerReferences"));
            metadata.extend(owners.map(|o| ("ownerReferences".to_owned(), o.clone())));
            // The class is set once.
            let class = old.get("status").and_then(|s| s.get("qosClass")).cloned();
            meta::map_mut(new, "status").extend(class.map(|c| ("qosClass".to_owned(), c)));
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_warnings::of_spec(&new["spec"], old.map(|old| &old["spec"]), &Path::new("spec"))
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        pod_validation::pod_spec(&object["spec"], &Path::new("spec"), &mut errors);
        if !pod_validation::items(&object["spec"], "ephemeralContainers").is_empty() {
            let at = Path::new("spec").child("ephemeralContainers");
            errors.push(FieldError::forbidden(&at, "cannot be set on create"));
        }
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match part {
            Part::Whole => {
                pod_validation::pod_spec(&new["spec"], &Path::new("spec"), &mut errors);
                errors.extend(pod_validation::pod_update(new, old));
            }
            Part::Other("ephemeralcontainers" | "resize") => {
                pod_validation::pod_spec(&new["spec"], &Path::new("spec"), &mut errors);
            }
            Part::Status => addresses(new, &mut errors),
            Part::Other(_) => {}
        }
        errors
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ]
    }

    fn selectable_field(&self, object: &Value, label: &str) -> String {
        let (part, field) = label.split_once('.').unwrap_or((label, ""));
        match object.get(part).and_then(|p| p.get(field)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(truth)) => truth.to_string(),
            Some(Value::Array(addresses)) => {
                let texts: Vec<&str> = addresses.iter().filter_map(|a| a.get("ip").and_then(Value::as_str)).collect();
                texts.join(",")
            }
            _ if field == "hostNetwork" => "false".to_owned(),
            _ => String::new(),
        }
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_fields(&self, part: Part<'_>) -> &'static [&'static str] {
        // A pod's node is part of its spec, but giving it one is no change of what was asked for.
        if matches!(part, Part::Status | Part::Other("binding")) { &[] } else { &["spec"] }
    }

    fn grace_period_seconds(&self, object: &Value, asked: Option<i64>) -> Option<i64> {
        let spec = |field: &str| object.get("spec").and_then(|s| s.get(field));
        let phase = object.get("status").and_then(|s| s.get("phase")).and_then(Value::as_str).unwrap_or_default();
        let unscheduled = spec("nodeName").and_then(Value::as_str).unwrap_or_default().is_empty();
        if unscheduled || matches!(phase, "Failed" | "Succeeded") {
            return Some(0);
        }
        let period =
            asked.or_else(|| spec("terminationGracePeriodSeconds").and_then(Value::as_i64)).unwrap_or_default();
        Some(if period < 0 { 1 } else { period })
    }
}

/// Addresses of the pod and its node, of which each family may stand once.
fn addresses(pod: &Value, errors: &mut Vec<FieldError>) {
    for list in ["podIPs", "hostIPs"] {
        let path = Path::new("status").child(list);
        let addresses = pod_validation::items(&pod["status"], list);
        for (index, entry) in addresses.iter().enumerate() {
            pod_validation::address(&path.index(index), entry["ip"].as_str().unwrap_or_default(), errors);
        }
        if addresses.len() > 2 {
            let words = "may specify no more than one IP for each IP family";
            errors.push(FieldError::invalid(&path, &pod["status"][list], words));
        }
    }
}

/// The quality of service class: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn quality_of_service(pod: &Value) -> &'static str {
    let spec = pod.get("spec");
    // Resources of the pod as a whole count instead of those of its containers.
    let whole = spec.and_then(|s| s.get("resources")).filter(|r| r.as_object().is_some_and(|m| !m.is_empty()));
    let lists = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|l| spec.and_then(|s| s.get(l)).and_then(Value::as_array));
    let containers: Vec<Option<&Value>> = match whole {
        Some(resources) => vec![Some(resources)],
        None => lists.flatten().map(|c| c.get("resources")).collect(),
    };
    let mut requests: BTreeMap<&str, Quantity> = BTreeMap::new();
    let mut limits: BTreeMap<&str, Quantity> = BTreeMap::new();
    let mut guaranteed = true;
    for resources in containers {
        for (kind, sums) in [("requests", &mut requests), ("limits", &mut limits)] {
            let map = resources.and_then(|r| r.get(kind)).and_then(Value::as_object);
            let mut found = 0;
            for (name, value) in map.into_iter().flatten().filter(|(n, _)| matches!(n.as_str(), "cpu" | "memory")) {
                let quantity = value.as_str().and_then(|t| Quantity::parse(t).ok()).unwrap_or(Quantity::ZERO);
                if quantity.signum() > 0 {
                    found += 1;
                    let sum = sums.entry(name.as_str()).or_insert(Quantity::ZERO);
                    *sum = sum.plus(quantity);
                }
            }
            guaranteed &= kind == "requests" || found == 2;
        }
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Restart policies of single containers other than side-cars' are behind a gate that is off: they are dropped, not refused.
fn drop_unserved_restart_policies(pod: &mut Value) {
    let containers = pod.pointer_mut("/spec/initContainers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        if container.get("restartPolicy").is_some_and(|policy| policy != "Always") {
            container.remove("restartPolicy");
        }
    }
}
