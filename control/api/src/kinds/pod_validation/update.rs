//! What may change in a pod that exists. From the pod's strategy; pure.

use serde_json::Value;

use super::{Errors, integer, items, text};
use crate::field::{FieldError, Path};
use crate::kinds::{go_struct, struct_diff};

/// The rule, as upstream words it; upstream appends a diff of its internal structs.
const FORBIDDEN: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Rules of a change of the main resource, besides those of the new spec itself.
pub fn pod_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let (spec, was) = (&new["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        let names = |spec: &Value| {
            items(spec, list).iter().map(|c| text(c, "name").unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        let (now, before) = (names(spec), names(was));
        if now.len() != before.len() || now != before {
            errors.push(FieldError::forbidden(&path.child(list), "pod updates may not add or remove containers"));
        }
        for (index, container) in items(spec, list).iter().enumerate() {
            if text(container, "image").is_none_or(str::is_empty) {
                errors.push(FieldError::required(&path.child(list).index(index).child("image"), ""));
            }
        }
    }
    if errors.iter().any(|e| e.kind == crate::field::ErrorKind::Forbidden) {
        return errors;
    }
    deadline(spec, was, &path.child("activeDeadlineSeconds"), &mut errors);
    tolerations(spec, was, &path.child("tolerations"), &mut errors);
    gates(spec, was, &path.child("schedulingGates"), &mut errors);
    let kept = frozen(spec, was);
    if kept != *was {
        let changes = changes(was, &kept);
        // Absence and an explicit null are the same.
        if !changes.is_empty() {
            errors.push(FieldError::forbidden(&path, format!("{FORBIDDEN}\n{changes}")));
        }
    }
    errors
}

/// What changed, as upstream prints the specs.
fn changes(was: &Value, spec: &Value) -> String {
    let show = |spec: &Value| go_struct::of_type("io.k8s.api.core.v1.PodSpec", spec);
    struct_diff::unified(&show(was), &show(spec))
}

/// The spec with every part that may change taken from the old one.
fn frozen(spec: &Value, was: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        let before = items(was, list).to_vec();
        for (container, old) in spec[list].as_array_mut().into_iter().flatten().zip(before) {
            keep(container, "image", &old);
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        keep(&mut spec, field, was);
    }
    // Gated pods are not placed yet: what they ask of nodes may still be narrowed.
    if !items(was, "schedulingGates").is_empty() {
        for field in ["nodeSelector", "affinity"] {
            keep(&mut spec, field, was);
        }
    }
    let period = "terminationGracePeriodSeconds";
    if integer(was, period).is_some_and(|seconds| seconds < 0) && integer(&spec, period) == Some(1) {
        keep(&mut spec, period, was);
    }
    spec
}

/// Takes a field from the old object, its absence included.
fn keep(new: &mut Value, field: &str, old: &Value) {
    let Some(fields) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

fn deadline(spec: &Value, was: &Value, path: &Path, errors: &mut Errors) {
    match (integer(spec, "activeDeadlineSeconds"), integer(was, "activeDeadlineSeconds")) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            errors.push(FieldError::invalid_number(path, now, "must be between 0 and 2147483647, inclusive"));
        }
        (Some(now), Some(before)) if now > before => {
            errors.push(FieldError::invalid_number(path, now, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            errors.push(FieldError::invalid_shown(path, "null", "must not update from a positive integer to nil value"))
        }
        _ => {}
    }
}

/// Tolerations may be added; of an existing one only the seconds may change.
fn tolerations(spec: &Value, was: &Value, path: &Path, errors: &mut Errors) {
    let bare = |toleration: &Value| {
        let mut bare = toleration.clone();
        if let Some(fields) = bare.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        bare
    };
    let now: Vec<Value> = items(spec, "tolerations").iter().map(bare).collect();
    if items(was, "tolerations").iter().any(|old| !now.contains(&bare(old))) {
        errors
            .push(FieldError::forbidden(path, "existing toleration can not be modified except its tolerationSeconds"));
    }
}

fn gates(spec: &Value, was: &Value, path: &Path, errors: &mut Errors) {
    let before = items(was, "schedulingGates");
    let added: Vec<&Value> = items(spec, "schedulingGates").iter().filter(|g| !before.contains(g)).collect();
    if let Some(gate) = added.first() {
        let detail = format!(
            "only deletion is allowed, but found new scheduling gate '{}'",
            text(gate, "name").unwrap_or_default()
        );
        errors.push(FieldError::forbidden(path, detail));
    }
}
