//! The node's conditions, in upstream's words; from measurements; to [`node_status`](super). [`Pressures::measure`] reads files,
//! the rest is pure.

use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus};

use crate::kubelet::{Kubelet, RuntimeHealth};
use crate::machine;

/// Memory below which the node is under pressure (upstream's hard eviction threshold).
const MEMORY_BYTES: i64 = 100 << 20;
/// Free process ids below which the node is under pressure, in per cent.
const PROCESS_PERCENT: i64 = 5;

/// What the node is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressures {
    /// Memory.
    pub memory: bool,
    /// Disk.
    pub disk: bool,
    /// Process ids.
    pub processes: bool,
}

impl Pressures {
    /// Measures now.
    pub fn measure(kubelet: &Kubelet) -> Self {
        let (running, limit) = machine::processes();
        Self {
            memory: machine::available_memory() < MEMORY_BYTES,
            disk: super::free_disk_percent(&kubelet.config.root_dir) < i64::from(kubelet.config.min_free_disk_percent),
            processes: limit.saturating_sub(running).saturating_mul(100) < limit.saturating_mul(PROCESS_PERCENT),
        }
    }
}

/// The conditions: ours, and those of other owners as they are.
pub fn conditions(
    previous: &NodeStatus,
    health: &RuntimeHealth,
    pressures: &Pressures,
    now: jiff::Timestamp,
) -> Vec<NodeCondition> {
    let known = previous.conditions.as_deref().unwrap_or_default();
    let condition = |kind: &str, status: bool, reason: &str, message: String| {
        let status = if status { "True" } else { "False" };
        let before = known.iter().find(|condition| condition.type_ == kind && condition.status == status);
        let since = before.and_then(|before| before.last_transition_time.clone());
        NodeCondition {
            last_heartbeat_time: Some(super::now_time(now)),
            last_transition_time: since.or_else(|| Some(super::now_time(now))),
            message: Some(message),
            reason: Some(reason.to_owned()),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    };
    let either = |kind: &str, on: bool, bad: (&str, &str), good: (&str, &str)| {
        let (reason, message) = if on { bad } else { good };
        condition(kind, on, reason, message.to_owned())
    };
    let problems: Vec<&str> =
        [&health.runtime_problem, &health.network_problem].into_iter().flatten().map(String::as_str).collect();
    let mut list = vec![
        either(
            "MemoryPressure",
            pressures.memory,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        either(
            "DiskPressure",
            pressures.disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        either(
            "PIDPressure",
            pressures.processes,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
    ];
    list.push(if problems.is_empty() {
        condition("Ready", true, "KubeletReady", "kubelet is posting ready status".to_owned())
    } else {
        condition("Ready", false, "KubeletNotReady", problems.join("; "))
    });
    let foreign = known.iter().filter(|condition| !list.iter().any(|own| own.type_ == condition.type_));
    let foreign: Vec<NodeCondition> = foreign.cloned().collect();
    list.extend(foreign);
    list
}

/// Events for conditions that changed.
pub fn transitions(previous: &NodeStatus, conditions: &[NodeCondition], node: &str) -> Vec<(&'static str, String)> {
    let known = previous.conditions.as_deref().unwrap_or_default();
    let changed = |condition: &&NodeCondition| {
        known.iter().find(|before| before.type_ == condition.type_).map(|before| &before.status)
            != Some(&condition.status)
    };
    conditions
        .iter()
        .filter(changed)
        .filter_map(|condition| {
            let reason = match (condition.type_.as_str(), condition.status.as_str()) {
                ("Ready", "True") => "NodeReady",
                ("Ready", _) => "NodeNotReady",
                ("MemoryPressure", "True") => "NodeHasInsufficientMemory",
                ("MemoryPressure", _) => "NodeHasSufficientMemory",
                ("DiskPressure", "True") => "NodeHasDiskPressure",
                ("DiskPressure", _) => "NodeHasNoDiskPressure",
                ("PIDPressure", "True") => "NodeHasInsufficientPID",
                ("PIDPressure", _) => "NodeHasSufficientPID",
                _ => return None,
            };
            Some((reason, format!("Node {node} status is now: {reason}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_runtime_and_network() {
        let now = jiff::Timestamp::from_second(50).unwrap();
        let health = RuntimeHealth {
            network_problem: Some("container runtime network not ready: x".into()),
            ..Default::default()
        };
        let list = conditions(&NodeStatus::default(), &health, &Pressures::default(), now);
        let ready = list.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("KubeletNotReady")));
        let previous = NodeStatus { conditions: Some(list), ..NodeStatus::default() };
        let later = jiff::Timestamp::from_second(90).unwrap();
        let list = conditions(&previous, &RuntimeHealth::default(), &Pressures::default(), later);
        let events = transitions(&previous, &list, "n1");
        assert_eq!(events, [("NodeReady", "Node n1 status is now: NodeReady".to_owned())]);
        let memory = list.iter().find(|condition| condition.type_ == "MemoryPressure").unwrap();
        assert_eq!(memory.last_transition_time.as_ref().unwrap().0.as_second(), 50);
        assert_eq!(memory.last_heartbeat_time.as_ref().unwrap().0.as_second(), 90);
    }

    #[test]
    fn conditions_of_others_stay() {
        let foreign =
            NodeCondition { type_: "NetworkUnavailable".into(), status: "False".into(), ..Default::default() };
        let previous = NodeStatus { conditions: Some(vec![foreign.clone()]), ..NodeStatus::default() };
        let list = conditions(&previous, &RuntimeHealth::default(), &Pressures::default(), jiff::Timestamp::UNIX_EPOCH);
        assert!(list.contains(&foreign));
    }
}
