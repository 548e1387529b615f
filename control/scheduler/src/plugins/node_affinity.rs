//! `NodeAffinity`: node selectors and node affinity. From pods and nodes; to the cycle. Pure.

use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, Rejection, normalize};

pub const NAME: &str = "NodeAffinity";

/// Whether the pod has a rule about nodes.
pub fn applies(cycle: &Cycle<'_>) -> bool {
    !cycle.pod.node_selector.0.is_empty() || cycle.pod.node_terms.is_some()
}

/// Refuses nodes that the rules do not name.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    let accepted = cycle.state.node(index).is_some_and(|node| cycle.pod.accepts_node(&node.labels, &node.name));
    if accepted { Ok(()) } else { Err(Rejection::for_good("node(s) didn't match Pod's node affinity/selector")) }
}

/// Prefers nodes that meet preferred terms.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    if cycle.pod.preferred_node_terms.is_empty() {
        return false;
    }
    for (index, score) in nodes.iter().zip(scores.iter_mut()) {
        let Some(node) = cycle.state.node(*index) else { continue };
        let met = cycle.pod.preferred_node_terms.iter().filter(|(_, term)| term.matches(&node.labels, &node.name));
        *score = met.map(|(weight, _)| weight).sum();
    }
    normalize(scores, false);
    true
}
