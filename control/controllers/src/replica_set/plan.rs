//! Decides which pods of a set to create or delete, and its status. From [`super`]; to it. Pure.

use super::target::Target;
use crate::pod_state;
use crate::sync::{SyncError, message_of};
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Pods created or deleted in one round at most.
pub const BURST: usize = 500;

/// Annotation with which users say which pod to keep: those with a lower cost go first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What to do to have the right number of pods.
#[derive(Debug)]
pub enum Plan {
    Nothing,
    Create(usize),
    Delete(Vec<Arc<Pod>>),
}

/// Why a plan failed; it becomes condition `ReplicaFailure`.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Create(SyncError),
    #[error(transparent)]
    Delete(SyncError),
}

impl From<Failure> for SyncError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Create(error) | Failure::Delete(error) => error,
        }
    }
}

/// What to do, given the active pods. `related` gives the pods of sibling sets, asked for only when pods must go.
pub fn decide(target: &Target, pods: &[Arc<Pod>], related: impl FnOnce() -> Vec<Arc<Pod>>, now: Time) -> Plan {
    let wanted = usize::try_from(target.replicas).unwrap_or(0);
    match pods.len().cmp(&wanted) {
        Ordering::Equal => Plan::Nothing,
        Ordering::Less => Plan::Create((wanted - pods.len()).min(BURST)),
        Ordering::Greater if wanted == 0 => Plan::Delete(pods.iter().take(BURST).cloned().collect()),
        Ordering::Greater => {
            let surplus = (pods.len() - wanted).min(BURST);
            let mut ranked = pods.to_vec();
            let crowding = crowding(&related());
            ranked.sort_by(|a, b| goes_before(a, b, &crowding, &now));
            ranked.truncate(surplus);
            Plan::Delete(ranked)
        }
    }
}

/// Active pods of the sibling sets per node.
fn crowding(related: &[Arc<Pod>]) -> HashMap<String, usize> {
    let mut crowding = HashMap::new();
    for pod in related {
        if let Some(node) = pod_state::node_name(pod) {
            *crowding.entry(node.to_owned()).or_insert(0) += 1;
        }
    }
    crowding
}

/// Orders pods by how little is lost when they go.
fn goes_before(a: &Pod, b: &Pod, crowding: &HashMap<String, usize>, now: &Time) -> Ordering {
    let bound = |pod: &Pod| pod_state::node_name(pod).is_some();
    let phase = |pod: &Pod| match pod_state::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let crowd = |pod: &Pod| pod_state::node_name(pod).and_then(|node| crowding.get(node)).copied().unwrap_or(0);
    bound(a)
        .cmp(&bound(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| pod_state::is_ready(a).cmp(&pod_state::is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| crowd(b).cmp(&crowd(a)))
        .then_with(|| match (ready_since(a), ready_since(b)) {
            (Some(a), Some(b)) => age_rank(a, now).cmp(&age_rank(b, now)),
            _ => Ordering::Equal,
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| match (&a.metadata.creation_timestamp, &b.metadata.creation_timestamp) {
            (Some(a), Some(b)) => age_rank(a, now).cmp(&age_rank(b, now)),
            _ => Ordering::Equal,
        })
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn deletion_cost(pod: &Pod) -> i32 {
    let cost = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn ready_since(pod: &Pod) -> Option<&Time> {
    pod_state::condition(pod, "Ready").filter(|ready| ready.status == "True")?.last_transition_time.as_ref()
}

/// Ages on a logarithmic scale: younger first, but pods of about the same age are equals.
fn age_rank(since: &Time, now: &Time) -> u32 {
    let seconds = now.0.as_second().saturating_sub(since.0.as_second());
    u64::try_from(seconds).unwrap_or(0).checked_ilog2().map_or(0, |log| log + 1)
}

/// Restarts of the container that restarted most.
fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|container| container.restart_count).max().unwrap_or(0)
}

/// The status of a set with these active pods.
pub fn status(target: &Target, pods: &[Arc<Pod>], now: Time, failure: Option<&Failure>) -> ReplicaSetStatus {
    let count =
        |keep: &dyn Fn(&Pod) -> bool| i32::try_from(pods.iter().filter(|pod| keep(pod)).count()).unwrap_or(i32::MAX);
    let some = |count: i32| (count > 0).then_some(count);
    let template_labels = target.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let fully_labelled = |pod: &Pod| {
        template_labels
            .into_iter()
            .flatten()
            .all(|(key, value)| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)) == Some(value))
    };
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: some(count(&fully_labelled)),
        ready_replicas: some(count(&pod_state::is_ready)),
        available_replicas: some(count(&|pod| pod_state::is_available(pod, target.min_ready_seconds, now.0))),
        observed_generation: Some(target.generation),
        conditions: conditions(target, now, failure),
        terminating_replicas: target.status.terminating_replicas,
    }
}

fn conditions(target: &Target, now: Time, failure: Option<&Failure>) -> Option<Vec<ReplicaSetCondition>> {
    let before = target.status.conditions.iter().flatten();
    let (known, mut conditions): (Vec<_>, Vec<_>) =
        before.cloned().partition(|condition| condition.type_ == "ReplicaFailure");
    if let Some(failure) = failure {
        let (reason, error) = match failure {
            Failure::Create(error) => ("FailedCreate", error),
            Failure::Delete(error) => ("FailedDelete", error),
        };
        let message = match error {
            SyncError::Api(error) => message_of(error),
            SyncError::Json(_) | SyncError::NotYet(_) | SyncError::Several(_) => error.to_string(),
        };
        // A failure that lasts keeps its first text: rewriting it would wake every watcher each round.
        conditions.push(known.into_iter().next().unwrap_or_else(|| ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(now),
        }));
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// When the next pod becomes available although nothing changes.
pub fn next_available(target: &Target, pods: &[Arc<Pod>], now: Time) -> Option<Duration> {
    if target.min_ready_seconds == 0 {
        return None;
    }
    let due = pods
        .iter()
        .filter_map(|pod| pod_state::available_at(pod, target.min_ready_seconds))
        .filter(|at| *at > now.0)
        .min()?;
    let seconds = due.as_second().saturating_sub(now.0.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0).saturating_add(1)))
}

#[cfg(test)]
mod tests;
