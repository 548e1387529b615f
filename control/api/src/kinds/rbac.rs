//! Role, `ClusterRole` and their bindings: defaults, names and rules; pure.

use serde_json::Value;

use super::pod_validation::{Errors, items, label_selector, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::{absent_texts, each, object_at};
use crate::strategy::{Part, Strategy};

const GROUP: &str = "rbac.authorization.k8s.io";

/// All four kinds: names are path segments, references name their group.
#[derive(Debug)]
pub(super) struct Rbac;

impl Strategy for Rbac {
    fn defaults(&self, object: &mut Value) {
        let map = meta::as_map_mut(object);
        object_at(map, "roleRef", |role| absent_texts(role, &[("apiGroup", GROUP)]));
        each(map, "subjects", |subject| {
            if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
                absent_texts(subject, &[("apiGroup", GROUP)]);
            }
        });
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        match text(object, "kind").unwrap_or_default() {
            "Role" => rules(object, true, &mut errors),
            "ClusterRole" => {
                rules(object, false, &mut errors);
                aggregation(object, &mut errors);
            }
            "RoleBinding" => binding(object, &["Role", "ClusterRole"], true, &mut errors),
            _ => binding(object, &["ClusterRole"], false, &mut errors),
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        if new["roleRef"] != old["roleRef"] {
            let role = go_role(&new["roleRef"]);
            errors.push(FieldError::invalid_shown(&Path::new("roleRef"), role, "cannot change roleRef"));
        }
        errors
    }

    fn validate_name(&self, value: &str, prefix: bool) -> Vec<String> {
        name::path_segment(value, prefix)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// The reference as upstream prints its own struct.
fn go_role(role: &Value) -> String {
    let of = |field: &str| crate::field::show(&Value::from(text(role, field).unwrap_or_default()));
    format!("{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}", of("apiGroup"), of("kind"), of("name"))
}

fn rules(object: &Value, namespaced: bool, errors: &mut Errors) {
    for (index, rule) in items(object, "rules").iter().enumerate() {
        let path = Path::new("rules").index(index);
        if items(rule, "verbs").is_empty() {
            errors.push(FieldError::required(&path.child("verbs"), "verbs must contain at least one value"));
        }
        let urls = &rule["nonResourceURLs"];
        let resources = ["apiGroups", "resources", "resourceNames"];
        if !items(rule, "nonResourceURLs").is_empty() {
            let at = path.child("nonResourceURLs");
            if namespaced {
                errors.push(FieldError::invalid(&at, urls, "namespaced rules cannot apply to non-resource URLs"));
            }
            if resources.iter().any(|field| !items(rule, field).is_empty()) {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(&at, urls, detail));
            }
            continue;
        }
        for (field, detail) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if items(rule, field).is_empty() {
                errors.push(FieldError::required(&path.child(field), detail));
            }
        }
    }
}

fn aggregation(object: &Value, errors: &mut Errors) {
    let rule = &object["aggregationRule"];
    if rule.is_null() {
        return;
    }
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = items(rule, "clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, detail));
    }
    for (index, selector) in selectors.iter().enumerate() {
        label_selector(selector, &path.index(index), errors);
    }
}

fn binding(object: &Value, kinds: &[&str], namespaced: bool, errors: &mut Errors) {
    let (role, path) = (&object["roleRef"], Path::new("roleRef"));
    let group = text(role, "apiGroup").unwrap_or_default();
    if group != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), &Value::from(group), &[GROUP]));
    }
    let kind = text(role, "kind").unwrap_or_default();
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("kind"), &Value::from(kind), kinds));
    }
    match text(role, "name").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("name"), "")),
        name => words(&path.child("name"), name, name::path_segment(name, false), errors),
    }
    for (index, subject) in items(object, "subjects").iter().enumerate() {
        check_subject(subject, namespaced, &Path::new("subjects").index(index), errors);
    }
}

fn check_subject(subject: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    let name = text(subject, "name").unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let kind = text(subject, "kind").unwrap_or_default();
    let group = text(subject, "apiGroup").unwrap_or_default();
    let allowed = match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                words(&path.child("name"), name, name::dns_subdomain(name, false), errors);
            }
            if !namespaced && text(subject, "namespace").unwrap_or_default().is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
            ""
        }
        "User" | "Group" => GROUP,
        _ => {
            let supported = &["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), &Value::from(kind), supported));
            return;
        }
    };
    if group != allowed {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), &Value::from(group), &[allowed]));
    }
}
