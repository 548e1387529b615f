//! `PriorityClass` and `RuntimeClass`; pure.

use serde_json::Value;

use super::field_rules::{immutable, one_of};
use super::pod_validation::{Errors, integer, items, text, tolerations, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::absent_texts;
use crate::strategy::{Part, Strategy};

/// Largest value a class of people's own may have.
const MOST: i64 = 1_000_000_000;
/// The two classes of the system.
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

#[derive(Debug)]
pub(super) struct PriorityClass;

impl Strategy for PriorityClass {
    fn defaults(&self, object: &mut Value) {
        absent_texts(meta::as_map_mut(object), &[("preemptionPolicy", "PreemptLowerPriority")]);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        meta::metadata_mut(object).insert("generation".to_owned(), Value::from(1));
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (name, value) = (meta::name(object), integer(object, "value").unwrap_or(0));
        let known = SYSTEM.iter().find(|(system, _)| *system == name);
        match known {
            Some((_, of_system)) if *of_system == value => {}
            Some((system, of_system)) => {
                let detail = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: \
                     value of {system} PriorityClass must be {of_system}"
                );
                errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), detail));
            }
            None if name.starts_with("system-") => {
                let detail = format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: \
                     {name} is not a known system priority class"
                );
                errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), detail));
            }
            None if value > MOST => {
                let detail = format!("maximum allowed value of a user defined priority is {MOST}");
                errors.push(FieldError::forbidden(&Path::new("value"), detail));
            }
            None => {}
        }
        let policies = &["PreemptLowerPriority", "Never"];
        one_of(object, "preemptionPolicy", policies, true, &Path::root(), &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if integer(new, "value") != integer(old, "value") {
            errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        immutable(&new["preemptionPolicy"], &old["preemptionPolicy"], &Path::new("preemptionPolicy"), &mut errors);
        errors
    }
}

#[derive(Debug)]
pub(super) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let handler = text(object, "handler").unwrap_or_default();
        words(&Path::new("handler"), handler, name::dns_label(handler, false), &mut errors);
        let path = Path::new("scheduling");
        let scheduling = &object["scheduling"];
        for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
            let at = path.child("nodeSelector");
            words(&at, key, name::qualified_name(key), &mut errors);
            let value = value.as_str().unwrap_or_default();
            words(&at, value, name::label_value(value), &mut errors);
        }
        tolerations(items(scheduling, "tolerations"), &path.child("tolerations"), &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        immutable(&new["handler"], &old["handler"], &Path::new("handler"), &mut errors);
        errors
    }
}
