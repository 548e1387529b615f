//! What steers a pod's placement: node selector, tolerations, spread constraints, gates. From [`super::pod_spec`]; pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Errors, integer, items, one_of, text, words};
use crate::field::{FieldError, Path};
use crate::name;

pub(super) fn check(spec: &Value, path: &Path, errors: &mut Errors) {
    for (key, value) in spec["nodeSelector"].as_object().into_iter().flatten() {
        words(&path.child("nodeSelector"), key, name::qualified_name(key), errors);
        if let Some(value) = value.as_str() {
            words(&path.child("nodeSelector"), value, name::label_value(value), errors);
        }
    }
    tolerations(items(spec, "tolerations"), &path.child("tolerations"), errors);
    spread(spec, &path.child("topologySpreadConstraints"), errors);
    let mut gates = BTreeSet::new();
    for (index, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let at = path.child("schedulingGates").index(index);
        let gate = text(gate, "name").unwrap_or_default();
        if !gates.insert(gate) {
            errors.push(FieldError::duplicate(&at, &Value::from(gate)));
        }
        words(&at, gate, name::qualified_name(gate), errors);
    }
    for (index, gate) in items(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType").unwrap_or_default();
        words(
            &path.child("readinessGates").index(index).child("conditionType"),
            kind,
            name::qualified_name(kind),
            errors,
        );
    }
}

/// Rules of tolerations.
pub fn tolerations(tolerations: &[Value], path: &Path, errors: &mut Errors) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = path.index(index);
        let key = text(toleration, "key").unwrap_or_default();
        let operator = text(toleration, "operator").unwrap_or_default();
        let value = text(toleration, "value").unwrap_or_default();
        if !key.is_empty() {
            words(&at.child("key"), key, name::qualified_name(key), errors);
        }
        if key.is_empty() && operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid_text(&at.child("operator"), operator, detail));
        }
        if !toleration["tolerationSeconds"].is_null() && text(toleration, "effect") != Some("NoExecute") {
            let effect = text(toleration, "effect").unwrap_or_default();
            errors.push(FieldError::invalid_text(
                &at.child("effect"),
                effect,
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        match operator {
            "" | "Equal" => {
                if !name::label_value(value).is_empty() {
                    errors.push(FieldError::invalid_text(
                        &at.child("operator"),
                        value,
                        name::label_value(value).join(";"),
                    ));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    errors.push(FieldError::invalid_text(
                        &at.child("operator"),
                        value,
                        "value must be empty when `operator` is 'Exists'",
                    ));
                }
            }
            _ => errors.push(FieldError::not_supported(
                &at.child("operator"),
                &toleration["operator"],
                &["Equal", "Exists"],
            )),
        }
        if text(toleration, "effect").is_some_and(|e| !e.is_empty()) {
            one_of(toleration, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], &at, errors);
        }
    }
}

fn spread(spec: &Value, path: &Path, errors: &mut Errors) {
    let constraints = items(spec, "topologySpreadConstraints");
    for (index, constraint) in constraints.iter().enumerate() {
        let at = path.index(index);
        let skew = integer(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid_number(&at.child("maxSkew"), skew, "must be greater than zero"));
        }
        let key = text(constraint, "topologyKey").unwrap_or_default();
        if key.is_empty() {
            errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty"));
        } else {
            words(&at.child("topologyKey"), key, name::qualified_name(key), errors);
        }
        let action = text(constraint, "whenUnsatisfiable").unwrap_or_default();
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&action) {
            let supported = &["DoNotSchedule", "ScheduleAnyway"];
            errors.push(FieldError::not_supported(&at.child("whenUnsatisfiable"), &Value::from(action), supported));
        }
        if let Some(domains) = integer(constraint, "minDomains") {
            let at = at.child("minDomains");
            if domains <= 0 {
                errors.push(FieldError::invalid_number(&at, domains, "must be greater than zero"));
            }
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(FieldError::invalid_number(&at, domains, detail));
            }
        }
        let same =
            |other: &Value| text(other, "topologyKey") == Some(key) && text(other, "whenUnsatisfiable") == Some(action);
        if constraints.iter().skip(index + 1).any(same) {
            let at = at.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&at, &Value::from(format!("{{{key}, {action}}}"))));
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            one_of(constraint, field, &["Honor", "Ignore"], &at, errors);
        }
        super::affinity::label_selector(&constraint["labelSelector"], &at.child("labelSelector"), errors);
    }
}
