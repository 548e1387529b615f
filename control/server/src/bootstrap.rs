//! The objects every cluster starts with: namespaces, default roles, priority classes, flow control. To the registry, at start. Pure.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::json_field::{items, set, text};

/// Default roles and bindings of Kubernetes v1.34, one object per line.
const RBAC: &str = include_str!("bootstrap/rbac.jsonl");
/// Default priority levels and flow schemas of Kubernetes v1.34, one object per line.
const FLOW_CONTROL: &str = include_str!("bootstrap/flow-control.jsonl");

const RBAC_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const FLOW_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// The objects, each after those it needs.
#[must_use]
pub fn objects() -> Vec<Value> {
    let mut objects = Vec::new();
    for name in ["kube-system", "kube-public", "kube-node-lease", "default"] {
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    for (name, value, description) in [
        (
            "system-node-critical",
            2_000_001_000_i64,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ] {
        objects.push(json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description,
        }));
    }
    objects.extend(read(FLOW_CONTROL, |metadata| {
        set(metadata, "", "annotations", json!({FLOW_UPDATE: "true"}));
    }));
    objects.extend(read(RBAC, |metadata| {
        set(metadata, "", "annotations", json!({RBAC_UPDATE: "true"}));
        if metadata.get("labels").is_none() {
            set(metadata, "", "labels", json!({}));
        }
        set(metadata, "/labels", "kubernetes.io/bootstrapping", json!("rbac-defaults"));
    }));
    objects
}

fn read(lines: &str, mark: impl Fn(&mut Value)) -> impl Iterator<Item = Value> {
    lines.lines().map(move |line| {
        let mut object: Value =
            serde_json::from_str(line).expect("embedded lines are JSON objects; a test reads them all");
        if let Some(metadata) = object.get_mut("metadata") {
            mark(metadata);
        }
        object
    })
}

/// What an existing object must become so that it grants at least what `wanted` grants; none when it is well as it is.
///
/// Additions by people stay, and so does everything whose owner switched the update annotation off.
#[must_use]
pub fn reconcile(existing: &Value, wanted: &Value) -> Option<Value> {
    let enabled = |annotation: &str| {
        existing.pointer("/metadata/annotations").and_then(|all| all.get(annotation)).and_then(Value::as_str)
            == Some("true")
    };
    let mut new = existing.clone();
    match text(wanted, "/kind") {
        "ClusterRole" | "Role" if enabled(RBAC_UPDATE) => {
            // Rules of an aggregated role are its controller's.
            if wanted.get("aggregationRule").is_some() {
                merge_list(&mut new, wanted, "/aggregationRule", "clusterRoleSelectors");
            } else {
                merge_list(&mut new, wanted, "", "rules");
            }
            merge_labels(&mut new, wanted);
        }
        "ClusterRoleBinding" | "RoleBinding" if enabled(RBAC_UPDATE) => {
            if existing.get("roleRef") == wanted.get("roleRef") {
                merge_list(&mut new, wanted, "", "subjects");
            } else {
                set(&mut new, "", "roleRef", wanted.get("roleRef").cloned().unwrap_or_default());
                set(&mut new, "", "subjects", wanted.get("subjects").cloned().unwrap_or_default());
            }
            merge_labels(&mut new, wanted);
        }
        "FlowSchema" | "PriorityLevelConfiguration" if enabled(FLOW_UPDATE) => {
            let (now, goal) = (existing.get("spec")?, wanted.get("spec")?);
            if !covers(now, goal) {
                set(&mut new, "", "spec", goal.clone());
            }
        }
        _ => return None,
    }
    (new != *existing).then_some(new)
}

/// Appends the items of `wanted` that are missing.
fn merge_list(object: &mut Value, wanted: &Value, parent: &str, key: &str) {
    let pointer = format!("{parent}/{key}");
    let mut list = items(object, &pointer).to_vec();
    for item in items(wanted, &pointer) {
        if !list.iter().any(|existing| covers(existing, item)) {
            list.push(item.clone());
        }
    }
    if !list.is_empty() {
        set(object, parent, key, Value::Array(list));
    }
}

fn merge_labels(object: &mut Value, wanted: &Value) {
    let labels = wanted.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in labels {
        if object.pointer("/metadata/labels").is_none() {
            set(object, "/metadata", "labels", json!({}));
        }
        set(object, "/metadata/labels", key, value.clone());
    }
}

/// Whether every field of `goal` is in `now` with the same value; `now` may have more (defaults).
fn covers(now: &Value, goal: &Value) -> bool {
    match (now, goal) {
        (Value::Object(now), Value::Object(goal)) => {
            goal.iter().all(|(key, value)| now.get(key).is_some_and(|found| covers(found, value)))
        }
        (Value::Array(now), Value::Array(goal)) => {
            now.len() == goal.len() && now.iter().zip(goal).all(|(now, goal)| covers(now, goal))
        }
        (now, goal) => now == goal,
    }
}
