//! `TaintNodesByCondition`: a new node takes no pods until it has reported to be ready. Pure.

use serde_json::{Value, json};

use super::{Attributes, Operation};
use crate::json_field::{items, list_mut, map_mut, text};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn mutate(attributes: &Attributes<'_>, node: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.is("", "nodes") {
        return;
    }
    let tainted = items(node, "/spec/taints")
        .iter()
        .any(|taint| text(taint, "/key") == NOT_READY && text(taint, "/effect") == "NoSchedule");
    if tainted || map_mut(node, "spec").is_none() {
        return;
    }
    if let Some(taints) = node.get_mut("spec").and_then(|spec| list_mut(spec, "taints")) {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}
