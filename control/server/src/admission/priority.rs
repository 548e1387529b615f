//! `Priority`: pods get the number and the preemption policy of their priority class; one class may be the default. Pure over the lister.

use serde_json::{Value, json};

use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{flag, number, present, set, text, text_or};

const GROUP: &str = "scheduling.k8s.io";
const CLASSES: &str = "priorityclasses";

pub(super) fn mutate(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    pod: &mut Value,
    old: Option<&Value>,
) -> Result<(), Rejection> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    match (attributes.operation, old) {
        (Operation::Create, _) => resolve(lister, pod),
        (Operation::Update, Some(old)) => {
            keep(pod, old);
            Ok(())
        }
        (Operation::Update | Operation::Delete | Operation::Connect, _) => Ok(()),
    }
}

/// What was set when the pod was created stays when an update leaves it out.
fn keep(pod: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        let Some(before) = old.get("spec").and_then(|spec| spec.get(field)) else { continue };
        if !present(pod, &format!("/spec/{field}")) {
            set(pod, "/spec", field, before.clone());
        }
    }
}

fn resolve(lister: &dyn Lister, pod: &mut Value) -> Result<(), Rejection> {
    let name = text(pod, "/spec/priorityClassName").to_owned();
    let class = if name.is_empty() {
        default_class(lister)
    } else {
        let class = lister.get(GROUP, CLASSES, "", &name);
        Some(class.ok_or_else(|| Rejection::forbidden(format!("no PriorityClass with name {name} was found")))?)
    };
    let (priority, policy) = class.as_deref().map_or((0, "PreemptLowerPriority"), |class| {
        (number(class, "/value"), text_or(class, "/preemptionPolicy", "PreemptLowerPriority"))
    });
    if name.is_empty()
        && let Some(class) = &class
    {
        set(pod, "/spec", "priorityClassName", json!(text(class, "/metadata/name")));
    }
    if let Some(given) = pod.pointer("/spec/priority").and_then(Value::as_i64)
        && given != priority
    {
        return Err(Rejection::forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; \
             priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    let given = text(pod, "/spec/preemptionPolicy");
    if !given.is_empty() && given != policy {
        return Err(Rejection::forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; \
             priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    set(pod, "/spec", "priority", json!(priority));
    set(pod, "/spec", "preemptionPolicy", json!(policy));
    Ok(())
}

/// The default class; of several the one of lowest value.
fn default_class(lister: &dyn Lister) -> Option<std::sync::Arc<Value>> {
    lister
        .list(GROUP, CLASSES, "")
        .into_iter()
        .filter(|class| flag(class, "/globalDefault") == Some(true))
        .min_by_key(|class| number(class, "/value"))
}

pub(super) fn validate(lister: &dyn Lister, attributes: &Attributes<'_>, class: &Value) -> Result<(), Rejection> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !writes || !attributes.is(GROUP, CLASSES) || flag(class, "/globalDefault") != Some(true) {
        return Ok(());
    }
    let Some(default) = default_class(lister) else { return Ok(()) };
    let name = text(&default, "/metadata/name");
    if attributes.operation == Operation::Create || name != text(class, "/metadata/name") {
        return Err(Rejection::forbidden(format!(
            "PriorityClass {name} is already marked as default. Only one default can exist"
        )));
    }
    Ok(())
}
