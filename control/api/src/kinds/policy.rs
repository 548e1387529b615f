//! `PodDisruptionBudget`; pure.

use serde_json::Value;

use super::field_rules::{NEGATIVE, not_negative, one_of};
use super::pod_validation::{Errors, label_selector};
use crate::field::{FieldError, Path, show};
use crate::name;
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (least, most) = (&spec["minAvailable"], &spec["maxUnavailable"]);
        if !least.is_null() && !most.is_null() {
            // As upstream prints its own struct.
            let shown = format!(
                "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
                show(least),
                show(&spec["selector"]),
                show(most),
                show(&spec["unhealthyPodEvictionPolicy"])
            );
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid_shown(&path, shown, detail));
        }
        for (field, value) in [("minAvailable", least), ("maxUnavailable", most)] {
            if !value.is_null() {
                count_or_percent(value, &path.child(field), &mut errors);
            }
        }
        label_selector(&spec["selector"], &path.child("selector"), &mut errors);
        let policies = &["AlwaysAllow", "IfHealthyBudget"];
        one_of(spec, "unhealthyPodEvictionPolicy", policies, true, &path, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        if part != Part::Status {
            return self.validate_create(new);
        }
        let mut errors = Errors::new();
        let numbers = &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
        not_negative(&new["status"], numbers, &Path::new("status"), &mut errors);
        errors
    }
}

/// A number from 0, or a percentage up to 100.
pub(super) fn count_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    if let Some(number) = value.as_i64() {
        if number < 0 {
            errors.push(FieldError::invalid_number(path, number, NEGATIVE));
        }
        return;
    }
    let text = value.as_str().unwrap_or_default();
    let digits = text.strip_suffix('%').unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let words = "a valid percent string must be a numeric string followed by an ending '%'";
        let detail = name::regex_error(words, "[0-9]+%", &["1%", "93%"]);
        errors.push(FieldError::invalid_text(path, text, detail));
    } else if digits.parse::<u32>().map_or(true, |percent| percent > 100) {
        errors.push(FieldError::invalid_text(path, text, "must not be greater than 100%"));
    }
}
