//! Node and pod affinity, and label selectors. From [`super::pod_spec`] and strategies of kinds with selectors; pure.

use serde_json::Value;

use super::{Errors, integer, items, text, words};
use crate::field::{FieldError, Path};
use crate::name;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(affinity: &Value, path: &Path, errors: &mut Errors) {
    let node = &affinity["nodeAffinity"];
    let at = path.child("nodeAffinity");
    if !node[REQUIRED].is_null() {
        node_selector(&node[REQUIRED], &at.child(REQUIRED), errors);
    }
    for (index, term) in items(node, PREFERRED).iter().enumerate() {
        let at = at.child(PREFERRED).index(index);
        weight(term, &at, errors);
        node_term(&term["preference"], &at.child("preference"), errors);
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let at = path.child(field);
        for (index, term) in items(&affinity[field], REQUIRED).iter().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(index), errors);
        }
        for (index, term) in items(&affinity[field], PREFERRED).iter().enumerate() {
            let at = at.child(PREFERRED).index(index);
            weight(term, &at, errors);
            pod_term(&term["podAffinityTerm"], &at.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path, errors: &mut Errors) {
    let weight = integer(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid_number(&path.child("weight"), weight, "must be in the range 1-100"));
    }
}

fn node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let terms = items(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        errors
            .push(FieldError::required(&path.child("nodeSelectorTerms"), "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(term, &path.child("nodeSelectorTerms").index(index), errors);
    }
}

fn node_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (index, rule) in items(term, "matchExpressions").iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = items(rule, "values");
        match text(rule, "operator").unwrap_or_default() {
            operator @ ("In" | "NotIn" | "Exists" | "DoesNotExist") => {
                membership(operator, values, &at.child("values"), errors);
            }
            "Gt" | "Lt" if values.len() != 1 => {
                errors.push(FieldError::required(
                    &at.child("values"),
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                ));
            }
            "Gt" | "Lt" => {}
            other => {
                errors.push(FieldError::invalid_text(&at.child("operator"), other, "not a valid selector operator"))
            }
        }
        let key = text(rule, "key").unwrap_or_default();
        words(&at.child("key"), key, name::qualified_name(key), errors);
    }
    for (index, rule) in items(term, "matchFields").iter().enumerate() {
        let at = path.child("matchFields").index(index);
        let values = items(rule, "values");
        match text(rule, "operator").unwrap_or_default() {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    errors.push(FieldError::required(
                        &at.child("values"),
                        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                    ));
                }
            }
            other => {
                errors.push(FieldError::invalid_text(&at.child("operator"), other, "not a valid selector operator"))
            }
        }
        let key = text(rule, "key").unwrap_or_default();
        if key == "metadata.name" {
            for (number, value) in values.iter().filter_map(Value::as_str).enumerate() {
                words(&at.child("values").index(number), value, name::dns_subdomain(value, false), errors);
            }
        } else {
            errors.push(FieldError::invalid_text(&at.child("key"), key, "not a valid field selector key"));
        }
    }
}

/// Operators of sets name values, operators of existence none.
fn membership(operator: &str, values: &[Value], path: &Path, errors: &mut Errors) {
    let of_set = ["In", "NotIn"].contains(&operator);
    if of_set && values.is_empty() {
        errors.push(FieldError::required(path, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if !of_set && !values.is_empty() {
        let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    label_selector(&term["labelSelector"], &path.child("labelSelector"), errors);
    label_selector(&term["namespaceSelector"], &path.child("namespaceSelector"), errors);
    for (index, namespace) in items(term, "namespaces").iter().filter_map(Value::as_str).enumerate() {
        words(&path.child("namespaces").index(index), namespace, name::dns_label(namespace, false), errors);
    }
    let key = text(term, "topologyKey").unwrap_or_default();
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    }
    words(&path.child("topologyKey"), key, name::qualified_name(key), errors);
}

/// Rules of a `LabelSelector`; null is none.
pub(crate) fn label_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        words(&path.child("matchLabels"), key, name::qualified_name(key), errors);
        let value = value.as_str().unwrap_or_default();
        words(&path.child("matchLabels"), value, name::label_value(value), errors);
    }
    for (index, rule) in items(selector, "matchExpressions").iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = items(rule, "values");
        match text(rule, "operator").unwrap_or_default() {
            operator @ ("In" | "NotIn" | "Exists" | "DoesNotExist") => {
                membership(operator, values, &at.child("values"), errors);
            }
            other => {
                errors.push(FieldError::invalid_text(&at.child("operator"), other, "not a valid selector operator"))
            }
        }
        let key = text(rule, "key").unwrap_or_default();
        words(&at.child("key"), key, name::qualified_name(key), errors);
        for (number, value) in values.iter().filter_map(Value::as_str).enumerate() {
            words(&at.child("values").index(number), value, name::label_value(value), errors);
        }
    }
}
