//! The numbers of a disruption budget. From its pods; to its status. Pure.

use crate::deployment::sets::scaled;
use crate::pod_state;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An eviction that led to no deletion within this time did not happen.
const EVICTION_SECONDS: i64 = 2 * 60;

/// How many pods there should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// As their controllers say.
    Managed(i32),
    /// Some pod has no controller that says: the pods that there are.
    Unmanaged,
}

/// Evicted pods that are still to go, and the seconds after which the next is forgotten.
pub fn remembered(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    now: &Time,
) -> (BTreeMap<String, Time>, Option<u64>) {
    let evicted = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let mut again: Option<u64> = None;
    let kept = evicted
        .into_iter()
        .filter(|(name, since)| {
            let alive =
                pods.iter().any(|pod| pod.metadata.name.as_ref() == Some(name) && !pod_state::is_terminating(pod));
            let due = since.0.checked_add(SignedDuration::from_secs(EVICTION_SECONDS)).map(|due| due.as_second());
            let left = due.map_or(0, |due| due.saturating_sub(now.0.as_second()));
            if alive && left > 0 {
                let seconds = u64::try_from(left).unwrap_or(0);
                again = Some(again.map_or(seconds, |other| other.min(seconds)));
            }
            alive && left > 0
        })
        .collect();
    (kept, again)
}

/// The status.
pub fn status(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    disrupted: &BTreeMap<String, Time>,
    expected: &Expected,
    now: &Time,
) -> PodDisruptionBudgetStatus {
    let count =
        |keep: &dyn Fn(&Pod) -> bool| i32::try_from(pods.iter().filter(|pod| keep(pod)).count()).unwrap_or(i32::MAX);
    let present = count(&|pod| !pod_state::is_finished(pod));
    let healthy = count(&|pod| {
        let evicted = pod.metadata.name.as_ref().is_some_and(|name| disrupted.contains_key(name));
        !pod_state::is_terminating(pod) && !evicted && pod_state::is_ready(pod)
    });
    let spec = budget.spec.as_ref();
    let (expected, desired) = match (
        spec.and_then(|spec| spec.min_available.as_ref()),
        spec.and_then(|spec| spec.max_unavailable.as_ref()),
    ) {
        (Some(IntOrString::Int(least)), _) => (present, *least),
        (Some(percentage), _) => {
            let expected = managed(expected, present);
            (expected, scaled(percentage, expected, true))
        }
        (None, Some(most)) => {
            let expected = managed(expected, present);
            (expected, (expected - scaled(most, expected, true)).max(0))
        }
        (None, None) => (present, 0),
    };
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let before = budget.status.clone().unwrap_or_default();
    PodDisruptionBudgetStatus {
        observed_generation: budget.metadata.generation,
        current_healthy: healthy,
        desired_healthy: desired,
        expected_pods: expected,
        disruptions_allowed: allowed,
        disrupted_pods: (!disrupted.is_empty()).then(|| disrupted.clone()),
        conditions: Some(vec![condition(before.conditions.unwrap_or_default(), budget, allowed, now)]),
    }
}

fn managed(expected: &Expected, present: i32) -> i32 {
    match expected {
        Expected::Managed(count) => *count,
        Expected::Unmanaged => present,
    }
}

fn condition(before: Vec<Condition>, budget: &PodDisruptionBudget, allowed: i32, now: &Time) -> Condition {
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let same = before.into_iter().find(|known| known.type_ == "DisruptionAllowed" && known.status == status);
    Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        observed_generation: budget.metadata.generation,
        last_transition_time: same.map_or_else(|| now.clone(), |same| same.last_transition_time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
    use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;

    fn pod(name: &str, ready: bool) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        let status = if ready { "True" } else { "False" };
        let ready = PodCondition { type_: "Ready".into(), status: status.into(), ..PodCondition::default() };
        pod.status = Some(PodStatus { conditions: Some(vec![ready]), ..PodStatus::default() });
        Arc::new(pod)
    }

    #[test]
    fn numbers_are_as_upstream_counts_them() {
        let now = Time(Timestamp::from_second(1000).unwrap());
        let mut budget = PodDisruptionBudget { spec: Some(PodDisruptionBudgetSpec::default()), ..Default::default() };
        let pods = [pod("a", true), pod("b", true), pod("c", true)];
        let mut numbers = |min: Option<IntOrString>, max: Option<IntOrString>, evicted: Option<i64>| {
            let spec = budget.spec.as_mut().unwrap();
            (spec.min_available, spec.max_unavailable) = (min, max);
            let at = evicted.map(|second| [("a".to_owned(), Time(Timestamp::from_second(second).unwrap()))].into());
            budget.status = Some(PodDisruptionBudgetStatus { disrupted_pods: at, ..Default::default() });
            let (disrupted, _) = remembered(&budget, &pods, &now);
            let status = status(&budget, &pods, &disrupted, &Expected::Managed(4), &now);
            (status.expected_pods, status.current_healthy, status.desired_healthy, status.disruptions_allowed)
        };
        let percent = |text: &str| Some(IntOrString::String(text.into()));
        assert_eq!(numbers(Some(IntOrString::Int(2)), None, None), (3, 3, 2, 1));
        assert_eq!(numbers(Some(IntOrString::Int(2)), None, Some(990)), (3, 2, 2, 0));
        assert_eq!(numbers(Some(IntOrString::Int(2)), None, Some(1)), (3, 3, 2, 1), "long ago");
        assert_eq!(numbers(percent("30%"), None, None), (4, 3, 2, 1));
        assert_eq!(numbers(None, percent("100%"), None), (4, 3, 0, 3));
        assert_eq!(numbers(None, Some(IntOrString::Int(1)), None), (4, 3, 3, 0));
    }
}
