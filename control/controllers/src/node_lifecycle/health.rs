//! What conditions, taints and labels a node should have. From a node; to [`super`]. Pure.

use crate::taints::{NOT_READY, UNREACHABLE, UNSCHEDULABLE};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;

/// Conditions that become unknown when the kubelet is silent.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Condition, its status, and the taint that it brings.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Status of condition Ready.
pub fn ready_status(node: &Node) -> Option<&str> {
    condition(node, "Ready").map(|ready| ready.status.as_str())
}

/// When the kubelet last posted a status, by its clock.
pub fn heartbeat(node: &Node) -> Option<&Time> {
    condition(node, "Ready")?.last_heartbeat_time.as_ref()
}

/// The status of a node whose kubelet is silent; `None` when it says so already.
pub fn silent_status(node: &Node, now: &Time) -> Option<NodeStatus> {
    let mut status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    let before = conditions.clone();
    for kind in KUBELET_CONDITIONS {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            None => conditions.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(now.clone()),
            }),
            Some(condition) if condition.status != "Unknown" => {
                condition.status = "Unknown".to_owned();
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(now.clone());
            }
            Some(_) => {}
        }
    }
    (*conditions != before).then_some(status)
}

/// All taints that the node should have; `None` when it has them.
pub fn taints(node: &Node, now: &Time) -> Option<Vec<Taint>> {
    let spec = node.spec.as_ref();
    let current = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in TAINTS {
        if condition(node, kind).is_some_and(|condition| condition.status == status) {
            wanted.push((key, "NoSchedule"));
        }
    }
    if spec.and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    for (key, status) in [(NOT_READY, "False"), (UNREACHABLE, "Unknown")] {
        if ready_status(node) == Some(status) {
            wanted.push((key, "NoExecute"));
        }
    }
    let is_ours = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => taint.key == UNSCHEDULABLE || TAINTS.iter().any(|(_, _, key)| *key == taint.key),
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let is_wanted = |taint: &Taint| wanted.iter().any(|(key, effect)| *key == taint.key && *effect == taint.effect);
    let mut taints: Vec<Taint> = current.iter().filter(|taint| !is_ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            taints.push(Taint {
                key: (*key).to_owned(),
                effect: (*effect).to_owned(),
                value: None,
                time_added: Some(now.clone()),
            });
        }
    }
    (taints != current).then_some(taints)
}

/// The old names of labels that have the new ones, where they are missing or differ.
pub fn with_old_labels(node: &Node) -> BTreeMap<String, String> {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")]
        .into_iter()
        .filter_map(|(new, old)| {
            let value = labels.get(new)?;
            (labels.get(old) != Some(value)).then(|| (old.to_owned(), value.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::NodeSpec;

    fn node(ready: &str) -> Node {
        let condition = NodeCondition { type_: "Ready".into(), status: ready.into(), ..NodeCondition::default() };
        Node {
            status: Some(NodeStatus { conditions: Some(vec![condition]), ..NodeStatus::default() }),
            ..Node::default()
        }
    }

    fn keys(taints: Vec<Taint>) -> Vec<(String, String)> {
        taints.into_iter().map(|taint| (taint.key, taint.effect)).collect()
    }

    #[test]
    fn a_silent_node_is_unknown_and_tainted_until_it_speaks() {
        let now = Time(Timestamp::UNIX_EPOCH);
        let mut silent = node("True");
        assert_eq!(taints(&silent, &now), None);
        let status = silent_status(&silent, &now).unwrap();
        let told: Vec<_> =
            status.conditions.iter().flatten().map(|c| (c.status.as_str(), c.reason.as_deref().unwrap())).collect();
        assert_eq!(told[0], ("Unknown", "NodeStatusUnknown"));
        assert_eq!(told[1], ("Unknown", "NodeStatusNeverUpdated"));
        silent.status = Some(status);
        assert_eq!(silent_status(&silent, &now), None);
        let tainted = taints(&silent, &now).unwrap();
        let expected = [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")];
        assert_eq!(keys(tainted.clone()), expected.map(|(k, e)| (k.to_owned(), e.to_owned())));
        let mut spec = NodeSpec { taints: Some(tainted), unschedulable: Some(true), ..NodeSpec::default() };
        let own = Taint { key: "mine".into(), effect: "NoExecute".into(), ..Taint::default() };
        spec.taints.as_mut().unwrap().push(own);
        let mut well = node("True");
        well.spec = Some(spec);
        let expected = [("mine", "NoExecute"), (UNSCHEDULABLE, "NoSchedule")];
        assert_eq!(keys(taints(&well, &now).unwrap()), expected.map(|(k, e)| (k.to_owned(), e.to_owned())));
    }
}
