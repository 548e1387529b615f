//! Taints and tolerations as controllers use them. From nodes and pods; to node life cycle, eviction and daemon sets.
//! Pure.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use std::time::Duration;

/// Taint of a node that is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a node that is not heard of.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taint of a cordoned node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Whether one toleration covers the taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => text(&toleration.value) == text(&taint.value),
            Some(_) => false,
        }
}

/// Whether some toleration covers the taint.
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// How long a pod with these tolerations may stay on a node with these taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For ever.
    Forever,
    /// This long since it was tainted; zero for not at all.
    For(Duration),
}

/// How long a pod may stay under the `NoExecute` taints.
pub fn stay(tolerations: &[Toleration], taints: &[Taint]) -> Stay {
    let mut shortest: Option<i64> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let mut covering = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if covering.peek().is_none() {
            return Stay::For(Duration::ZERO);
        }
        for seconds in covering.filter_map(|toleration| toleration.toleration_seconds) {
            shortest = Some(shortest.map_or(seconds, |shortest| shortest.min(seconds)));
        }
    }
    shortest.map_or(Stay::Forever, |seconds| Stay::For(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_toleration_counts() {
        let taint = |key: &str| Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() };
        let toleration = |key: &str, seconds| Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        let seconds = |n| Stay::For(Duration::from_secs(n));
        assert_eq!(stay(&[], &[]), Stay::Forever);
        assert_eq!(stay(&[], &[taint("a")]), seconds(0));
        assert_eq!(stay(&[toleration("a", None)], &[taint("a")]), Stay::Forever);
        let both = [toleration("a", Some(9)), toleration("b", Some(5))];
        assert_eq!(stay(&both, &[taint("a"), taint("b")]), seconds(5));
        assert_eq!(stay(&both, &[taint("a")]), seconds(9));
        assert_eq!(stay(&both, &[taint("c")]), seconds(0));
        assert_eq!(stay(&[], &[Taint { effect: "NoSchedule".into(), ..taint("a") }]), Stay::Forever);
    }
}
