//! `NodePorts`: a port of a node's address is taken by one pod. From pods; to the cycle. Pure.

use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, Rejection};

pub const NAME: &str = "NodePorts";

/// Whether the pod takes ports of its node.
pub fn applies(cycle: &Cycle<'_>) -> bool {
    !cycle.pod.info.host_ports.is_empty()
}

/// Refuses nodes on which a port is taken.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    let Some(node) = cycle.state.node(index) else { return Ok(()) };
    let wanted = &cycle.pod.info.host_ports;
    if node.ports.iter().any(|taken| wanted.iter().any(|port| port.conflicts(taken))) {
        Err(Rejection::for_now("node(s) didn't have free ports for the requested pod ports"))
    } else {
        Ok(())
    }
}
