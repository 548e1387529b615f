//! `TaintToleration`: tainted nodes take only pods that tolerate the taints. From nodes; to the cycle. Pure.

use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, Rejection, normalize};
use k8s_openapi::api::core::v1::{Taint, Toleration};

pub const NAME: &str = "TaintToleration";

/// Refuses nodes with a taint that keeps the pod away.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    let Some(node) = cycle.state.node(index) else { return Ok(()) };
    if repels(&cycle.pod.tolerations, &node.taints) {
        Err(Rejection::for_good("node(s) had untolerated taint(s)"))
    } else {
        Ok(())
    }
}

/// Whether some taint keeps pods with these tolerations away.
pub fn repels(tolerations: &[Toleration], taints: &[Taint]) -> bool {
    taints.iter().any(|taint| taint.effect != "PreferNoSchedule" && !tolerates(tolerations, taint))
}

/// Whether some toleration covers the taint.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let value = || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
        (effect.is_empty() || effect == taint.effect)
            && (key.is_empty() || key == taint.key)
            && match toleration.operator.as_deref() {
                Some("Exists") => true,
                None | Some("" | "Equal") => value(),
                Some(_) => false,
            }
    })
}

/// Prefers nodes with fewer taints that ask pods to stay away.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    let discouraged = |index: &NodeIndex| {
        let taints = cycle.state.node(*index).map(|node| node.taints.as_slice()).unwrap_or_default();
        let taints = taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
        taints
            .filter(|taint| {
                !cycle.pod.tolerations.iter().any(|toleration| {
                    let effect = toleration.effect.as_deref().unwrap_or_default();
                    (effect.is_empty() || effect == "PreferNoSchedule")
                        && tolerates(std::slice::from_ref(toleration), taint)
                })
            })
            .count()
    };
    let mut any = false;
    for (index, score) in nodes.iter().zip(scores.iter_mut()) {
        *score = i64::try_from(discouraged(index)).unwrap_or(i64::MAX / 1000);
        any |= *score > 0;
    }
    if any {
        normalize(scores, true);
    }
    any
}
