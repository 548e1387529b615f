//! The status of a Deployment and its conditions. From [`super::plan`]; to the executor. Pure.

use super::plan::Rollout;
use super::sets::{self, Set};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
/// Reason of a rollout that is done.
const DONE: &str = "NewReplicaSetAvailable";
/// Reason of a rollout that is stuck.
const STUCK: &str = "ProgressDeadlineExceeded";

/// Numbers, Available, and whether it is paused; progress stays as it is.
pub fn counted(rollout: &Rollout<'_>) -> DeploymentStatus {
    let deployment = rollout.deployment;
    let before = deployment.status.clone().unwrap_or_default();
    let some = |count: i32| (count > 0).then_some(count);
    let total: i32 = rollout.all().map(|set| set.replicas).sum();
    let available: i32 = rollout.all().map(Set::available).sum();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(rollout.all().map(Set::actual).sum()),
        updated_replicas: some(rollout.new.as_ref().map_or(0, Set::actual)),
        ready_replicas: some(rollout.all().map(Set::ready).sum()),
        available_replicas: some(available),
        unavailable_replicas: some(total - available),
        ..before
    };
    let enough = available >= sets::replicas(deployment) - sets::max_unavailable(deployment);
    let (state, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, AVAILABLE, state, reason, message.to_owned(), &rollout.now);
    pause(deployment, &mut status, &rollout.now);
    status
}

/// [`counted`], and how far the rollout is. `created` names the set created in this round.
pub fn rolled(rollout: &Rollout<'_>, created: Option<&str>) -> DeploymentStatus {
    let deployment = rollout.deployment;
    let mut status = counted(rollout);
    if deadline(deployment).is_none() {
        remove(&mut status, PROGRESSING);
    } else {
        progress(rollout, created, &mut status);
    }
    let failing = |set: &&Set| failure(set).is_some();
    let failed = rollout.new.iter().find(failing).or_else(|| rollout.old().find(failing)).and_then(failure);
    match failed {
        Some(condition) => {
            let message = condition.message.clone().unwrap_or_default();
            let reason = condition.reason.clone().unwrap_or_default();
            set(&mut status, REPLICA_FAILURE, &condition.status, &reason, message, &rollout.now);
        }
        None => remove(&mut status, REPLICA_FAILURE),
    }
    status
}

/// The status after the current set could not be created.
pub fn creation_failed(rollout: &Rollout<'_>, message: String) -> Option<DeploymentStatus> {
    deadline(rollout.deployment)?;
    let mut status = rollout.deployment.status.clone().unwrap_or_default();
    set(&mut status, PROGRESSING, "False", "ReplicaSetCreateError", message, &rollout.now);
    (rollout.deployment.status.as_ref() != Some(&status)).then_some(status)
}

/// Whether the stored status says that the rollout is complete.
pub fn is_complete_now(deployment: &Deployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| is_complete(deployment, status))
}

/// When to look again although nothing happens: at the end of the progress deadline.
pub fn next_check(deployment: &Deployment, now: Time) -> Option<Duration> {
    let deadline = deadline(deployment)?;
    let status = deployment.status.as_ref()?;
    let condition = find(status, PROGRESSING)?;
    if is_complete(deployment, status) || matches!(condition.reason.as_deref(), Some(STUCK | DONE)) {
        return None;
    }
    let due = condition.last_update_time.as_ref()?.0.checked_add(deadline).ok()?;
    let seconds = due.as_second().saturating_sub(now.0.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0).saturating_add(1)))
}

fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| SignedDuration::from_secs(i64::from(seconds)))
}

fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = sets::replicas(deployment);
    let is = |count: Option<i32>| count.unwrap_or(0) == wanted;
    is(status.updated_replicas)
        && is(status.replicas)
        && is(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

fn progress(rollout: &Rollout<'_>, created: Option<&str>, status: &mut DeploymentStatus) {
    let deployment = rollout.deployment;
    let current = find(status, PROGRESSING).cloned();
    if let Some(name) = created {
        set(
            status,
            PROGRESSING,
            "True",
            "NewReplicaSetCreated",
            format!("Created new replica set \"{name}\""),
            &rollout.now,
        );
        return;
    }
    if current.is_none()
        && let Some(new) = &rollout.new
    {
        let message = format!("Found new replica set \"{}\"", new.name());
        set(status, PROGRESSING, "True", "FoundNewReplicaSet", message, &rollout.now);
    }
    let was_done = current.as_ref().is_some_and(|condition| condition.reason.as_deref() == Some(DONE));
    if was_done && status.replicas.unwrap_or(0) == status.updated_replicas.unwrap_or(0) {
        return;
    }
    let what = rollout.new.as_ref().map_or_else(
        || format!("Deployment \"{}\"", deployment.metadata.name.as_deref().unwrap_or_default()),
        |new| format!("ReplicaSet \"{}\"", new.name()),
    );
    if is_complete(deployment, status) {
        set(status, PROGRESSING, "True", DONE, format!("{what} has successfully progressed."), &rollout.now);
    } else if is_progressing(deployment, status) {
        let since = current.filter(|condition| condition.status == "True").and_then(|c| c.last_transition_time);
        remove(status, PROGRESSING);
        set(status, PROGRESSING, "True", "ReplicaSetUpdated", format!("{what} is progressing."), &rollout.now);
        if let (Some(since), Some(condition)) = (since, find_mut(status, PROGRESSING)) {
            condition.last_transition_time = Some(since);
        }
    } else if is_late(deployment, status, &rollout.now) {
        set(status, PROGRESSING, "False", STUCK, format!("{what} has timed out progressing."), &rollout.now);
    }
}

/// Whether the numbers are better than in the stored status.
fn is_progressing(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let before = deployment.status.clone().unwrap_or_default();
    let n = |count: Option<i32>| count.unwrap_or(0);
    let old_replicas = |status: &DeploymentStatus| n(status.replicas) - n(status.updated_replicas);
    n(status.updated_replicas) > n(before.updated_replicas)
        || old_replicas(status) < old_replicas(&before)
        || n(status.ready_replicas) > n(before.ready_replicas)
        || n(status.available_replicas) > n(before.available_replicas)
}

fn is_late(deployment: &Deployment, status: &DeploymentStatus, now: &Time) -> bool {
    let Some(condition) = find(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(DONE) => return false,
        Some(STUCK) => return true,
        _ => {}
    }
    let due = condition
        .last_update_time
        .as_ref()
        .zip(deadline(deployment))
        .and_then(|(since, deadline)| since.0.checked_add(deadline).ok());
    due.is_some_and(|due| due < now.0)
}

fn pause(deployment: &Deployment, status: &mut DeploymentStatus, now: &Time) {
    if deadline(deployment).is_none() {
        return;
    }
    let reason = find(status, PROGRESSING).and_then(|condition| condition.reason.clone());
    if reason.as_deref() == Some(STUCK) {
        return;
    }
    let was_paused = reason.as_deref() == Some("DeploymentPaused");
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    if paused && !was_paused {
        set(status, PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused".to_owned(), now);
    } else if !paused && was_paused {
        set(status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned(), now);
    }
}

fn failure(set: &Set) -> Option<&k8s_openapi::api::apps::v1::ReplicaSetCondition> {
    let conditions = set.object.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE)
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn find_mut<'a>(status: &'a mut DeploymentStatus, kind: &str) -> Option<&'a mut DeploymentCondition> {
    status.conditions.iter_mut().flatten().find(|condition| condition.type_ == kind)
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

/// Sets a condition unless it has this status and reason already.
fn set(status: &mut DeploymentStatus, kind: &str, state: &str, reason: &str, message: String, now: &Time) {
    let current = find(status, kind).cloned();
    if let Some(current) = &current
        && current.status == state
        && current.reason.as_deref() == Some(reason)
    {
        return;
    }
    let since = current.filter(|current| current.status == state).and_then(|current| current.last_transition_time);
    remove(status, kind);
    status.conditions.get_or_insert_default().push(DeploymentCondition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: since.or_else(|| Some(now.clone())),
    });
}
