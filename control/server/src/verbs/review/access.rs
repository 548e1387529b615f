//! `SubjectAccessReview` and its kin: may this user do that? From [`super`]; to authorization. Pure over the caches.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use skep_api::field::{FieldError, Path, go_quote};
use skep_api::meta;

use crate::admission::Lister;
use crate::filters::authorize::{Action, Decision, decide};
use crate::identity::User;
use crate::status::ApiError;

/// Fills in `status`.
///
/// # Errors
/// 422 for a question that makes no sense.
pub fn answer(lister: &dyn Lister, caller: &User, namespace: &str, review: &mut Value) -> Result<(), ApiError> {
    let kind = review.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let spec = review.get("spec").cloned().unwrap_or_default();
    let is_local = kind == "LocalSubjectAccessReview";
    if let Some(error) = check(&kind, &spec, namespace) {
        return Err(ApiError::invalid("authorization.k8s.io", "", "", vec![error]));
    }
    if is_local {
        meta::set_text(review, "namespace", namespace);
    }
    let user = if kind == "SelfSubjectAccessReview" { caller.clone() } else { user(&spec) };
    let action = action(&spec);
    review["status"] = match decide(lister, &user, &action) {
        Decision::Allow(reason) => status(true, &reason),
        Decision::NoOpinion(reason) => status(false, &reason),
    };
    Ok(())
}

fn status(allowed: bool, reason: &str) -> Value {
    let mut status = json!({ "allowed": allowed });
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

fn check(kind: &str, spec: &Value, namespace: &str) -> Option<FieldError> {
    let path = Path::new("spec");
    let resource = spec.get("resourceAttributes").filter(|v| !v.is_null());
    let other = spec.get("nonResourceAttributes").filter(|v| !v.is_null());
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown = |other: &Value| {
        format!("{{\"Path\":{},\"Verb\":{}}}", go_quote(&text(other, "path")), go_quote(&text(other, "verb")))
    };
    let at = path.child("nonResourceAttributes");
    if kind == "LocalSubjectAccessReview"
        && let Some(other) = other
    {
        return Some(FieldError::invalid_shown(&at, shown(other), "disallowed on this kind of request"));
    }
    match (resource, other) {
        (Some(_), Some(other)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            return Some(FieldError::invalid_shown(&at, shown(other), why));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Some(FieldError::invalid_shown(&path.child("resourceAttributes"), "null", why));
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    let has_groups = spec.get("groups").and_then(Value::as_array).is_some_and(|g| !g.is_empty());
    if kind != "SelfSubjectAccessReview" && text(spec, "user").is_empty() && !has_groups {
        let why = "at least one of user or group must be specified";
        return Some(FieldError::invalid_text(&path.child("user"), "", why));
    }
    if kind == "LocalSubjectAccessReview"
        && let Some(resource) = resource
        && text(resource, "namespace") != namespace
    {
        let at = path.child("resourceAttributes").child("namespace");
        return Some(FieldError::invalid_text(&at, &text(resource, "namespace"), "must match metadata.namespace"));
    }
    None
}

fn user(spec: &Value) -> User {
    let text = |field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra: BTreeMap<String, Vec<String>> = spec
        .get("extra")
        .and_then(Value::as_object)
        .map(|map| map.iter().map(|(key, values)| (key.to_lowercase(), texts(values))).collect())
        .unwrap_or_default();
    User { name: text("user"), uid: text("uid"), groups: spec.get("groups").map(texts).unwrap_or_default(), extra }
}

fn action(spec: &Value) -> Action<'_> {
    let of = |attributes: &str, field: &str| -> Cow<'_, str> {
        Cow::Borrowed(spec.get(attributes).and_then(|a| a.get(field)).and_then(Value::as_str).unwrap_or_default())
    };
    if spec.get("resourceAttributes").is_some_and(Value::is_object) {
        let resource = |field: &str| of("resourceAttributes", field);
        return Action {
            verb: resource("verb"),
            is_resource: true,
            group: resource("group"),
            version: resource("version"),
            resource: resource("resource"),
            subresource: resource("subresource"),
            namespace: resource("namespace"),
            name: resource("name"),
            ..Action::default()
        };
    }
    Action { verb: of("nonResourceAttributes", "verb"), path: of("nonResourceAttributes", "path"), ..Action::default() }
}
