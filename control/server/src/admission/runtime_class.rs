//! `RuntimeClass`: pods get the overhead and the scheduling rules of their runtime class. Pure over the lister.

use std::sync::Arc;

use serde_json::Value;

use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{items, list_mut, map_mut, pairs, present, set, text};

pub(super) fn mutate(lister: &dyn Lister, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Rejection> {
    if attributes.operation != Operation::Create || !attributes.is("", "pods") {
        return Ok(());
    }
    let Some(class) = class_of(lister, pod)? else { return Ok(()) };
    if let Some(overhead) = class.pointer("/overhead/podFixed") {
        if present(pod, "/spec/overhead") && pod.pointer("/spec/overhead") != Some(overhead) {
            return Err(Rejection::forbidden(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            ));
        }
        set(pod, "/spec", "overhead", overhead.clone());
    }
    schedule(&class, pod)
}

fn schedule(class: &Value, pod: &mut Value) -> Result<(), Rejection> {
    let wanted: Vec<(&str, &str)> = pairs(class, "/scheduling/nodeSelector").collect();
    for (key, value) in &wanted {
        let of_pod = pairs(pod, "/spec/nodeSelector").find(|(k, _)| k == key).map(|(_, v)| v);
        if let Some(of_pod) = of_pod
            && of_pod != *value
        {
            return Err(Rejection::forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {of_pod}"
            )));
        }
    }
    let Some(spec) = pod.get_mut("spec") else { return Ok(()) };
    if !wanted.is_empty()
        && let Some(selector) = map_mut(spec, "nodeSelector")
    {
        for (key, value) in wanted {
            selector.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }
    let tolerations = items(class, "/scheduling/tolerations");
    if !tolerations.is_empty()
        && let Some(list) = list_mut(spec, "tolerations")
    {
        for toleration in tolerations {
            if !list.contains(toleration) {
                list.push(toleration.clone());
            }
        }
    }
    Ok(())
}

pub(super) fn validate(lister: &dyn Lister, attributes: &Attributes<'_>, pod: &Value) -> Result<(), Rejection> {
    if attributes.operation != Operation::Create || !attributes.is("", "pods") {
        return Ok(());
    }
    let class = class_of(lister, pod)?;
    let overhead = class.as_deref().and_then(|class| class.pointer("/overhead/podFixed"));
    match (overhead, pod.pointer("/spec/overhead")) {
        (None, Some(_)) => Err(Rejection::forbidden(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        )),
        (Some(defined), given) if given != Some(defined) => {
            Err(Rejection::forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"))
        }
        (None, None) | (Some(_), _) => Ok(()),
    }
}

fn class_of(lister: &dyn Lister, pod: &Value) -> Result<Option<Arc<Value>>, Rejection> {
    let name = text(pod, "/spec/runtimeClassName");
    if name.is_empty() {
        return Ok(None);
    }
    let class = lister.get("node.k8s.io", "runtimeclasses", "", name);
    class.map(Some).ok_or_else(|| Rejection::forbidden(format!("pod rejected: RuntimeClass {name:?} not found")))
}
