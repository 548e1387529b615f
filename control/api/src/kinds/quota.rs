//! `LimitRange` and `ResourceQuota`; pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field_rules::{NEGATIVE, immutable, texts};
use super::pod_validation::{Errors, items, text, words};
use crate::field::{FieldError, Path, go_quote};
use crate::meta;
use crate::name;
use crate::quantity::Quantity;
use crate::schema::default::{each, object_at};
use crate::strategy::{Part, Strategy};

mod limit_range;

pub(super) use limit_range::LimitRange;

/// Resources that are counted, so that only whole numbers make sense.
const COUNTED: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// Resources of pods, with and without the words before them.
const COMPUTED: [&str; 9] = [
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

#[derive(Debug)]
pub(super) struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn has_status(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        amounts(&spec["hard"], &path.child("hard"), &mut errors);
        scopes(spec, &path, &mut errors);
        scope_selector(spec, &path, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if part == Part::Status {
            for field in ["hard", "used"] {
                amounts(&new["status"][field], &Path::new("status").child(field), &mut errors);
            }
            return errors;
        }
        errors.extend(self.validate_create(new));
        let path = Path::new("spec").child("scopes");
        immutable(&new["spec"]["scopes"], &old["spec"]["scopes"], &path, &mut errors);
        errors
    }
}

fn is_standard_quota(resource: &str) -> bool {
    COUNTED.contains(&resource)
        || COMPUTED.contains(&resource)
        || resource == "requests.storage"
        || is_huge_pages(resource)
}

fn is_huge_pages(resource: &str) -> bool {
    resource.starts_with("hugepages-") || resource.starts_with("requests.hugepages-")
}

/// Names without a domain must be known ones.
fn resource_name(resource: &str, path: &Path, errors: &mut Errors) {
    let broken = name::qualified_name(resource);
    if !broken.is_empty() {
        words(path, resource, broken, errors);
        return;
    }
    let standard = is_standard_quota(resource) || resource == "storage";
    if !resource.contains('/') && !standard {
        errors.push(FieldError::invalid_text(path, resource, "must be a standard resource type or fully qualified"));
    }
}

fn amounts(hard: &Value, path: &Path, errors: &mut Errors) {
    for (resource, value) in hard.as_object().into_iter().flatten() {
        let at = path.key(resource);
        let before = errors.len();
        resource_name(resource, &at, errors);
        let malformed =
            errors.len() > before && !errors.iter().skip(before).any(|e| e.detail.starts_with("must be a standard"));
        if !malformed && !resource.contains('/') && !is_standard_quota(resource) {
            errors.push(FieldError::invalid_text(&at, resource, "must be a standard resource for quota"));
        }
        let Some(amount) = quantity(value) else { continue };
        let shown = go_quote(&amount.to_string());
        if amount.signum() < 0 {
            errors.push(FieldError::invalid_shown(&at, shown.clone(), NEGATIVE));
        }
        let counted = COUNTED.contains(&resource.as_str()) || resource.starts_with("count/");
        if counted && amount.milli_value() % 1000 != 0 {
            errors.push(FieldError::invalid_shown(&at, shown, "must be an integer"));
        }
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value.as_str() {
        Some(text) => Quantity::parse(text).ok(),
        None => Quantity::parse(&value.as_number()?.to_string()).ok(),
    }
}

fn quantities(object: &Value, field: &str) -> BTreeMap<String, Quantity> {
    let members = object[field].as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect()
}

fn scopes(spec: &Value, path: &Path, errors: &mut Errors) {
    let (list, at) = (texts(spec, "scopes"), path.child("scopes"));
    for scope in &list {
        if !SCOPES.contains(scope) {
            errors.push(FieldError::invalid(&at, &spec["scopes"], "unsupported scope"));
        }
        for resource in spec["hard"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if is_standard_quota(resource) && SCOPES.contains(scope) && !fits(scope, resource) {
                errors.push(FieldError::invalid(&at, &spec["scopes"], "unsupported scope applied to resource"));
            }
        }
    }
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if list.contains(&one) && list.contains(&other) {
            errors.push(FieldError::invalid(&at, &spec["scopes"], "conflicting scopes"));
        }
    }
}

/// Whether a quota of that scope can bound that resource.
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => resource == "pods" || COMPUTED.contains(&resource),
    }
}

fn scope_selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let selector = &spec["scopeSelector"];
    let at = path.child("scopeSelector").child("matchExpressions");
    for expression in items(selector, "matchExpressions") {
        let scope = text(expression, "scopeName").unwrap_or_default();
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid_text(&at.child("scopeName"), scope, "unsupported scope"));
        }
        let operator = text(expression, "operator").unwrap_or_default();
        let values = items(expression, "values");
        if scope != "PriorityClass" && scope != "VolumeAttributesClass" && operator != "Exists" {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid_text(&at.child("operator"), operator, detail));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&at.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(&at.child("values"), &expression["values"], detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => {
                errors.push(FieldError::invalid_text(&at.child("operator"), operator, "not a valid selector operator"))
            }
        }
    }
}
