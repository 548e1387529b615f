//! `ImageLocality`: prefers nodes that have the pod's images, the larger and the more widely known the better. From node
//! status; to the cycle. Pure.

use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, MAX_SCORE};

pub const NAME: &str = "ImageLocality";

const MIN_BYTES: i64 = 23 * 1024 * 1024;
const MAX_BYTES_PER_CONTAINER: i64 = 1000 * 1024 * 1024;

/// Scores the bytes that need no download, weighted by how many nodes have them.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    let state = cycle.state;
    let total = i64::try_from(state.node_count()).unwrap_or(i64::MAX).max(1);
    let known: Vec<(&String, i64)> = cycle
        .pod
        .images
        .iter()
        .filter_map(|image| {
            let (bytes, holders) = state.images.get(image)?;
            Some((image, bytes.saturating_mul(i64::try_from(*holders).unwrap_or(total)) / total))
        })
        .collect();
    if known.is_empty() {
        return false;
    }
    let max = MAX_BYTES_PER_CONTAINER * i64::try_from(cycle.pod.images.len()).unwrap_or(1);
    for (index, score) in nodes.iter().zip(scores.iter_mut()) {
        let Some(node) = state.node(*index) else { continue };
        let here = known.iter().filter(|(image, _)| node.images.contains(image));
        let bytes: i64 = here.map(|(_, bytes)| bytes).sum();
        *score = (bytes.clamp(MIN_BYTES, max) - MIN_BYTES) * MAX_SCORE / (max - MIN_BYTES);
    }
    true
}
