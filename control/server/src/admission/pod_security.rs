//! `PodSecurity`: the three pod security standards, chosen by labels of the namespace. Pure over the lister.
//!
//! [`policy`] reads the labels → [`checks`] holds a pod against a level → this file refuses, or warns.

pub mod checks;
pub mod policy;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skep_api::field::FieldError;

use self::checks::violations;
use self::policy::{Level, LevelVersion, Policy};
use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::text;

/// Most pods of a namespace that a changed level is held against.
const MOST_PODS: usize = 3000;

/// Warnings for the client.
type Warnings = Vec<String>;

pub(super) fn validate(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<Warnings, Rejection> {
    if !matches!(attributes.operation, Operation::Create | Operation::Update) {
        return Ok(Vec::new());
    }
    if attributes.is("", "namespaces") {
        return namespace(lister, object, old);
    }
    let is_pod = attributes.is("", "pods") || attributes.is_part("", "pods", "ephemeralcontainers");
    let template = if is_pod { None } else { template_of(attributes) };
    if !is_pod && template.is_none() {
        return Ok(Vec::new());
    }
    let Some(namespace) = lister.get("", "namespaces", "", attributes.namespace) else { return Ok(Vec::new()) };
    let policy = Policy::of(&namespace);
    if let Some(pointer) = template {
        let Some(template) = object.pointer(pointer) else { return Ok(Vec::new()) };
        return Ok(warning(&policy, template).into_iter().collect());
    }
    if let Some(old) = old
        && !is_significant(attributes, object, old)
    {
        return Ok(Vec::new());
    }
    if let Some(text) = violated(policy.enforce, object) {
        return Err(Rejection::Forbidden(format!("violates PodSecurity {text}")));
    }
    Ok(warning(&policy, object).into_iter().collect())
}

fn warning(policy: &Policy, pod: &Value) -> Option<String> {
    violated(policy.warn, pod).map(|text| format!("would violate PodSecurity {text}"))
}

/// `"level:version": reason (detail), …` when the pod (or template) breaks the level.
fn violated(level: LevelVersion, pod: &Value) -> Option<String> {
    let broken = violations(level, pod);
    if broken.is_empty() {
        return None;
    }
    let told: Vec<String> = broken
        .iter()
        .map(|v| if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) })
        .collect();
    Some(format!("\"{level}\": {}", told.join(", ")))
}

/// Where a workload keeps its pod template.
fn template_of(attributes: &Attributes<'_>) -> Option<&'static str> {
    if !attributes.subresource.is_empty() {
        return None;
    }
    match (attributes.kind.group.as_str(), attributes.kind.plural.as_str()) {
        ("", "podtemplates") => Some("/template"),
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some("/spec/template"),
        ("batch", "cronjobs") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Images and deadlines of a running pod may change without a new look; everything else of its spec is immutable or counts.
fn is_significant(attributes: &Attributes<'_>, new: &Value, old: &Value) -> bool {
    if !attributes.subresource.is_empty() {
        return true;
    }
    let bare = |pod: &Value| {
        let mut pod =
            json!({"spec": pod.get("spec"), "metadata": {"annotations": pod.pointer("/metadata/annotations")}});
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
                spec.remove(field);
            }
        }
        for list in ["containers", "initContainers"] {
            let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.remove("image");
            }
        }
        pod
    };
    bare(new) != bare(old)
}

fn namespace(lister: &dyn Lister, new: &Value, old: Option<&Value>) -> Result<Warnings, Rejection> {
    let errors = policy::label_errors(new);
    let known: Vec<FieldError> = old.map(policy::label_errors).unwrap_or_default();
    if !errors.is_empty() && errors != known {
        return Err(Rejection::Invalid(errors));
    }
    let Some(old) = old else { return Ok(Vec::new()) };
    let (now, before) = (Policy::of(new).enforce, Policy::of(old).enforce);
    let stricter = now.level > before.level || now.level == before.level && now.version != before.version;
    if now.level == Level::Privileged || !stricter {
        return Ok(Vec::new());
    }
    let name = text(new, "/metadata/name");
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in lister.list("", "pods", name).iter().take(MOST_PODS) {
        let reasons: Vec<String> = violations(now, pod).into_iter().map(|violation| violation.reason).collect();
        if !reasons.is_empty() {
            groups.entry(reasons.join(", ")).or_default().push(text(pod, "/metadata/name").to_owned());
        }
    }
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut told: Vec<String> = groups.into_iter().map(|(reasons, pods)| pods_of(pods, &reasons)).collect();
    told.sort_unstable();
    told.insert(0, format!("existing pods in namespace {name:?} violate the new PodSecurity enforce level \"{now}\""));
    Ok(told)
}

fn pods_of(mut pods: Vec<String>, reasons: &str) -> String {
    pods.sort_unstable();
    let first = pods.first().map_or("", String::as_str);
    match pods.len() {
        0 | 1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        more => format!("{first} (and {} other pods): {reasons}", more - 1),
    }
}
