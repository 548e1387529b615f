//! `NodeResourcesFit`: requests fit into what is left; emptier nodes are preferred (`LeastAllocated`). From the columns;
//! to the cycle. Pure.

use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, MAX_SCORE, Reason, Rejection, TOO_MANY_PODS};
use crate::resources::{CPU, MEMORY};

pub const NAME: &str = "NodeResourcesFit";

/// Refuses nodes with too little left.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    let state = cycle.state;
    let Some(node) = state.node(index) else { return Ok(()) };
    // Pods of at least this priority for which preemption made room here have it already.
    let nominated = state.nominated.get(&index).map(Vec::as_slice).unwrap_or_default();
    let mine = &cycle.pod.info;
    let promised = || nominated.iter().filter(|other| other.priority >= mine.priority && other.uid != mine.uid);
    let mut short = 0_u64;
    let mut resolvable = true;
    let pods = i64::try_from(node.pods.len() + promised().count()).unwrap_or(i64::MAX);
    if pods + 1 > node.allowed_pods {
        short |= TOO_MANY_PODS;
    }
    for (id, amount) in &mine.requests.exact.0 {
        let allocatable = state.allocatable.get(*id, index);
        let taken = state.requested.get(*id, index);
        let promised: i64 = promised().map(|other| other.requests.exact.get(*id)).sum();
        if *amount > allocatable - taken - promised {
            short |= 1_u64.checked_shl(u32::try_from(*id).unwrap_or(62).min(62)).unwrap_or(0);
            resolvable &= *amount <= allocatable;
        }
    }
    if short == 0 { Ok(()) } else { Err(Rejection { reason: Reason::Resources(short), resolvable }) }
}

/// Prefers nodes of which more is left, cpu and memory counting the same.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    let state = cycle.state;
    let wanted = cycle.pod.info.requests.scored;
    for (index, score) in nodes.iter().zip(scores.iter_mut()) {
        let (mut sum, mut weights) = (0, 0);
        for (id, wanted) in [CPU, MEMORY].into_iter().zip(wanted) {
            let allocatable = state.allocatable.get(id, *index);
            if allocatable == 0 {
                continue;
            }
            let left = allocatable - state.scored.get(id, *index) - wanted;
            weights += 1;
            sum += if left < 0 { 0 } else { left.saturating_mul(MAX_SCORE) / allocatable };
        }
        *score = if weights == 0 { 0 } else { sum / weights };
    }
    true
}
