//! Whether a pod that is new here fits the node: number of pods, cpu, memory, host ports; pods that skipped the scheduler may
//! not; from [`pod_worker`](crate::pod_worker); to the pod's status. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pod;
use crate::quantity;
use crate::spec::resources::pod_requests;
use crate::status::Failure;

/// Why the pod is refused, given the pods that run here; `None` when it fits.
pub fn refusal(new: &Pod, others: &[std::sync::Arc<Pod>], allocatable: &BTreeMap<String, Quantity>) -> Option<Failure> {
    let (mut count, mut cpu, mut memory) = (0_i64, 0_i64, 0_i64);
    let mut ports = BTreeSet::new();
    for other in others {
        let (other_cpu, other_memory) = pod_requests(other);
        count += 1;
        cpu = cpu.saturating_add(other_cpu);
        memory = memory.saturating_add(other_memory);
        ports.extend(host_ports(other));
    }
    let (new_cpu, new_memory) = pod_requests(new);
    let limit = |name: &str| allocatable.get(name);
    let table = [
        ("pods", 1, count, limit("pods").and_then(quantity::value)),
        ("cpu", new_cpu, cpu, limit("cpu").and_then(quantity::milli_value)),
        ("memory", new_memory, memory, limit("memory").and_then(quantity::value)),
    ];
    for (name, requested, used, capacity) in table {
        let Some(capacity) = capacity.filter(|_| requested > 0) else { continue };
        if used.saturating_add(requested) > capacity {
            return Some(Failure {
                reason: format!("OutOf{name}"),
                message: format!(
                    "Pod was rejected: Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
                ),
            });
        }
    }
    if host_ports(new).any(|port| ports.contains(&port)) {
        return Some(Failure {
            reason: "NodePorts".to_owned(),
            message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
                .to_owned(),
        });
    }
    None
}

/// Protocol and number of the node's ports that a pod takes.
fn host_ports(pod: &Pod) -> impl Iterator<Item = (String, i32)> {
    let containers = pod::containers(pod);
    let ports = containers.into_iter().flat_map(|(_, container)| container.ports.unwrap_or_default());
    ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        Some((port.protocol.unwrap_or_else(|| "TCP".to_owned()), number))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(cpu: &str, port: i32) -> Pod {
        serde_json::from_value(
            json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": port}],
            "resources": {"requests": {"cpu": cpu}}}]}}),
        )
        .unwrap()
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let allocatable = [("cpu", "2"), ("memory", "1Gi"), ("pods", "2")];
        let allocatable = allocatable.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into();
        let refuse = |new: &Pod, others: &[Pod]| {
            let others: Vec<_> = others.iter().cloned().map(std::sync::Arc::new).collect();
            refusal(new, &others, &allocatable)
        };
        assert_eq!(refuse(&pod("1500m", 80), &[pod("500m", 81)]), None);
        let cpu = refuse(&pod("1600m", 80), &[pod("500m", 81)]).unwrap();
        assert_eq!(cpu.reason, "OutOfcpu");
        assert!(
            cpu.message.ends_with("Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000")
        );
        assert_eq!(refuse(&pod("0", 80), &[pod("0", 80)]).unwrap().reason, "NodePorts");
        assert_eq!(refuse(&pod("0", 80), &[pod("0", 81), pod("0", 82)]).unwrap().reason, "OutOfpods");
    }
}
