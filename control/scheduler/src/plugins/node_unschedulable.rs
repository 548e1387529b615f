//! `NodeUnschedulable`: cordoned nodes take no pods, except those that tolerate it. From nodes; to the cycle. Pure.

use super::taint_toleration::tolerates;
use crate::cluster_state::NodeIndex;
use crate::framework::{Cycle, Rejection};
use k8s_openapi::api::core::v1::Taint;

pub const NAME: &str = "NodeUnschedulable";

/// Refuses cordoned nodes.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    if !cycle.state.node(index).is_some_and(|node| node.unschedulable) {
        return Ok(());
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if tolerates(&cycle.pod.tolerations, &taint) {
        Ok(())
    } else {
        Err(Rejection::for_good("node(s) were unschedulable"))
    }
}
