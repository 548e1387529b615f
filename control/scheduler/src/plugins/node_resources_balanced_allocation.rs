//! `NodeResourcesBalancedAllocation`: prefers nodes on which cpu and memory would be used alike. From the columns; to the
//! cycle. Pure.

use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, MAX_SCORE};
use crate::resources::{CPU, MEMORY};

pub const NAME: &str = "NodeResourcesBalancedAllocation";

/// Scale of the used fractions.
const SCALE: i64 = 1_000_000;

/// Scores the difference of the used fractions; pods without requests change none.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    let requests = &cycle.pod.info.requests.exact;
    if requests.get(CPU) == 0 && requests.get(MEMORY) == 0 {
        return false;
    }
    for (index, score) in nodes.iter().zip(scores.iter_mut()) {
        let used = [CPU, MEMORY].map(|id| {
            let allocatable = cycle.state.allocatable.get(id, *index);
            let wanted = cycle.state.requested.get(id, *index) + requests.get(id);
            let part =
                |all: i64| i64::try_from(i128::from(wanted) * i128::from(SCALE) / i128::from(all)).unwrap_or(SCALE);
            (allocatable > 0).then(|| part(allocatable).min(SCALE))
        });
        let deviation = match used {
            [Some(cpu), Some(memory)] => (cpu - memory).abs() / 2,
            [Some(_) | None, _] => 0,
        };
        *score = (SCALE - deviation) * MAX_SCORE / SCALE;
    }
    true
}
