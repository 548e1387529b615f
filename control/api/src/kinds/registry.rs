//! Which strategy a built-in kind has; from the kind's own file; to the table of kinds; pure.

use std::sync::Arc;

use crate::strategy::{Plain, SpecAndStatus, Strategy};

/// The strategy of a built-in kind. Adding one: write `kinds/<kind>.rs`, name it here.
pub(super) fn strategy(group: &str, kind: &str) -> Arc<dyn Strategy> {
    match (group, kind) {
        ("policy", "PodDisruptionBudget") | ("autoscaling", "HorizontalPodAutoscaler") => Arc::new(SpecAndStatus),
        _ => Arc::new(Plain),
    }
}
