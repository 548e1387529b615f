//! Node; pure.

use serde_json::{Value, json};

use super::go_struct;
use super::pod_validation::{Errors, items, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::{absent, mirrored};
use crate::strategy::{Part, Strategy};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

#[derive(Debug)]
pub(super) struct Node;

impl Strategy for Node {
    fn defaults(&self, object: &mut Value) {
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            mirrored(spec, "podCIDR", "podCIDRs", |range| json!(range), Value::as_str);
        }
        let Some(Value::Object(status)) = object.get_mut("status") else { return };
        // What is not said to be allocatable is the capacity.
        if let Some(capacity) = status.get("capacity").cloned() {
            absent(status, "allocatable", capacity);
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        taints(items(&object["spec"], "taints"), &Path::new("metadata").child("taints"), &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        if part != Part::Whole {
            return errors;
        }
        let (path, spec, was) = (Path::new("spec"), &new["spec"], &old["spec"]);
        if !items(was, "podCIDRs").is_empty() && spec["podCIDRs"] != was["podCIDRs"] {
            let words = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(FieldError::forbidden(&path.child("podCIDRs"), words));
        }
        if text(was, "providerID").is_some_and(|id| !id.is_empty()) && spec["providerID"] != was["providerID"] {
            let words = "node updates may not change providerID except from \"\" to valid";
            errors.push(FieldError::forbidden(&path.child("providerID"), words));
        }
        errors
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }

    fn selectable_field(&self, object: &Value, _label: &str) -> String {
        (object.get("spec").and_then(|s| s.get("unschedulable")) == Some(&Value::Bool(true))).to_string()
    }

    /// A kubelet registers itself with its status, so a create keeps it; updates of the main resource do not touch it.
    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        if part == Part::Whole {
            let status = old.get("status").cloned().unwrap_or_else(|| json!({}));
            meta::as_map_mut(new).insert("status".to_owned(), status);
        }
    }
}

/// Taints are named like labels and are told apart by key and effect.
fn taints(taints: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in taints.iter().enumerate() {
        let at = path.index(index);
        let [key, value, effect] = ["key", "value", "effect"].map(|field| text(taint, field).unwrap_or_default());
        words(&at.child("key"), key, name::qualified_name(key), errors);
        words(&at.child("value"), value, name::label_value(value), errors);
        if effect.is_empty() {
            errors.push(FieldError::required(&at.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(&at.child("effect"), &taint["effect"], &EFFECTS));
        }
        if seen.contains(&(key, effect)) {
            let mut twice = FieldError::duplicate(&at, taint);
            twice.shown = Some(go_struct::of_type("io.k8s.api.core.v1.Taint", taint).compact());
            twice.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(twice);
        }
        seen.push((key, effect));
    }
}

#[cfg(test)]
mod tests;
