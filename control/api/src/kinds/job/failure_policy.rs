//! `podFailurePolicy` of a job; pure.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::kinds::field_rules::one_of;
use crate::kinds::pod_validation::{Errors, items, text};

const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;

pub(super) fn check(spec: &Value, path: &Path, errors: &mut Errors) {
    let rules = items(&spec["podFailurePolicy"], "rules");
    if rules.len() > MOST_RULES {
        errors.push(FieldError::too_many(&path.child("rules"), rules.len(), MOST_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(rule, spec, &path.child("rules").index(index), errors);
    }
}

fn check_rule(rule: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let actions = &["Count", "FailIndex", "FailJob", "Ignore"];
    if text(rule, "action").unwrap_or_default().is_empty() {
        let detail = "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]";
        errors.push(FieldError::required(&path.child("action"), detail));
    } else {
        one_of(rule, "action", actions, false, path, errors);
    }
    if text(rule, "action") == Some("FailIndex") && spec["backoffLimitPerIndex"].is_null() {
        let detail = "requires the backoffLimitPerIndex to be set";
        errors.push(FieldError::invalid_text(&path.child("action"), "FailIndex", detail));
    }
    let (codes, conditions) = (&rule["onExitCodes"], items(rule, "onPodConditions"));
    if !codes.is_null() {
        exit_codes(codes, spec, &path.child("onExitCodes"), errors);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let at = path.child("onPodConditions").index(index);
        one_of(condition, "status", &["False", "True", "Unknown"], false, &at, errors);
    }
    match (codes.is_null(), conditions.is_empty()) {
        (false, false) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(plain(path, detail));
        }
        (true, true) => errors.push(plain(path, "specifying one of OnExitCodes and OnPodConditions is required")),
        (true, false) | (false, true) => {}
    }
}

/// Invalid, with nothing but words (upstream omits the value here).
fn plain(path: &Path, detail: &str) -> FieldError {
    FieldError { shown: None, ..FieldError::invalid_text(path, "", detail) }
}

fn exit_codes(codes: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let operator = text(codes, "operator").unwrap_or_default();
    if operator.is_empty() {
        let detail = "valid values: [\"In\" \"NotIn\"]";
        errors.push(FieldError::required(&path.child("operator"), detail));
    } else {
        one_of(codes, "operator", &["In", "NotIn"], false, path, errors);
    }
    if let Some(name) = text(codes, "containerName") {
        let template = &spec["template"]["spec"];
        let known = ["containers", "initContainers"]
            .iter()
            .any(|list| items(template, list).iter().any(|container| text(container, "name") == Some(name)));
        if !known {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid_text(&path.child("containerName"), name, detail));
        }
    }
    let (values, at) = (items(codes, "values"), path.child("values"));
    if values.is_empty() {
        errors.push(FieldError::invalid(&at, &codes["values"], "at least one value is required"));
    } else if values.len() > MOST_CODES {
        errors.push(FieldError::too_many(&at, values.len(), MOST_CODES));
    }
    let numbers: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    for (index, number) in numbers.iter().enumerate() {
        if *number == 0 && operator == "In" {
            errors.push(FieldError::invalid_number(&at.index(index), 0, "must not be 0 for the In operator"));
        }
        if numbers.get(..index).is_some_and(|earlier| earlier.contains(number)) {
            errors.push(FieldError::duplicate(&at.index(index), &Value::from(*number)));
        }
    }
    if !numbers.is_sorted() {
        errors.push(FieldError::invalid(&at, &codes["values"], "must be ordered"));
    }
}
