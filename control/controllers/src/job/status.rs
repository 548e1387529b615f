//! The status of a Job after a step of its plan, with conditions and events. From [`super::plan`]; to the executor. Pure.

use super::indexes;
use super::plan::{Ends, Plan, Verdict, View};
use crate::pod_state;
use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeSet;
use std::sync::Arc;

#[expect(clippy::too_many_arguments, reason = "the parts of one decision")]
/// Fills in the plan's status, and the one to be written before ends are counted.
pub(super) fn write(
    view: &View<'_>,
    spec: &JobSpec,
    before: &JobStatus,
    start: Option<Time>,
    ends: Ends,
    verdict: Option<Verdict>,
    active: &[Arc<Pod>],
    suspended: bool,
    plan: &mut Plan,
) {
    let some = |count: i32| (count > 0).then_some(count);
    let len = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let mut status = before.clone();
    status.start_time = start;
    let left = active.len().saturating_sub(plan.delete.len());
    status.active = some(len(left + plan.create.len()));
    let keeps = |pod: &&Arc<Pod>| !plan.delete.iter().any(|gone| gone.metadata.uid == pod.metadata.uid);
    status.ready = Some(len(active.iter().filter(keeps).filter(|pod| pod_state::is_ready(pod)).count()));
    let ending = view.pods.iter().filter(|pod| pod_state::is_terminating(pod) && !pod_state::is_finished(pod)).count();
    status.terminating = Some(len(ending + plan.delete.len()));
    if indexed {
        status.completed_indexes = indexes::format(&ends.completed);
        status.failed_indexes = spec.backoff_limit_per_index.and_then(|_| indexes::format(&ends.failed_indexes));
    }
    // First the status in which ends are only noted …
    let list = |uids: &BTreeSet<String>| (!uids.is_empty()).then(|| uids.iter().cloned().collect::<Vec<_>>());
    let noted = JobStatus {
        succeeded: some(ends.succeeded),
        failed: some(ends.failed),
        uncounted_terminated_pods: Some(UncountedTerminatedPods {
            succeeded: list(&ends.noted_succeeded),
            failed: list(&ends.noted_failed),
        }),
        ..status.clone()
    };
    if !plan.release.is_empty() {
        plan.noted = Some(noted);
    }
    // … then the one in which they are counted.
    status.succeeded = some(ends.all_succeeded());
    status.failed = some(ends.all_failed());
    status.uncounted_terminated_pods = Some(UncountedTerminatedPods::default());
    let mut conditions = status.conditions.take().unwrap_or_default();
    if let Some(verdict) = &verdict {
        conclude(view, verdict, &mut status, &mut conditions, &mut plan.events);
    } else {
        suspend(view, spec, suspended, &mut status, &mut conditions, &mut plan.events);
        if let (Some(deadline), Some(start)) = (spec.active_deadline_seconds, &status.start_time) {
            let left = deadline - view.now.0.as_second().saturating_sub(start.0.as_second());
            let left = u64::try_from(left).unwrap_or(0);
            plan.look_again = Some(plan.look_again.map_or(left, |other| other.min(left)));
        }
    }
    status.conditions = (!conditions.is_empty()).then_some(conditions);
    plan.status = status;
}

/// Says the verdict, and once all pods have ended also the end.
fn conclude(
    view: &View<'_>,
    verdict: &Verdict,
    status: &mut JobStatus,
    conditions: &mut Vec<JobCondition>,
    events: &mut Vec<(&'static str, &'static str, String)>,
) {
    let (first, last) = if verdict.success { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
    let add = |kind: &str, conditions: &mut Vec<JobCondition>| {
        if !conditions.iter().any(|known| known.type_ == kind) {
            conditions.push(condition(kind, "True", &verdict.reason, &verdict.message, &view.now));
        }
    };
    add(first, conditions);
    if status.terminating.unwrap_or(0) > 0 {
        return;
    }
    add(last, conditions);
    if verdict.success {
        status.completion_time = Some(view.now.clone());
        events.push(("Normal", "Completed", "Job completed".to_owned()));
    } else {
        let reason = match verdict.reason.as_str() {
            "DeadlineExceeded" => "DeadlineExceeded",
            "PodFailurePolicy" => "PodFailurePolicy",
            "FailedIndexes" => "FailedIndexes",
            "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
            _ => "BackoffLimitExceeded",
        };
        events.push(("Warning", reason, verdict.message.clone()));
    }
}

fn suspend(
    view: &View<'_>,
    spec: &JobSpec,
    suspended: bool,
    status: &mut JobStatus,
    conditions: &mut Vec<JobCondition>,
    events: &mut Vec<(&'static str, &'static str, String)>,
) {
    let known = conditions.iter().position(|condition| condition.type_ == "Suspended");
    let is = known.and_then(|at| conditions.get(at)).is_some_and(|condition| condition.status == "True");
    if suspended == is || (known.is_none() && !suspended) {
        return;
    }
    let (state, reason, message, event) = if suspended {
        ("True", "JobSuspended", "Job suspended", "Suspended")
    } else {
        ("False", "JobResumed", "Job resumed", "Resumed")
    };
    let new = condition("Suspended", state, reason, message, &view.now);
    match known.and_then(|at| conditions.get_mut(at)) {
        Some(known) => *known = new,
        None => conditions.push(new),
    }
    events.push(("Normal", event, message.to_owned()));
    // The deadline counts from the last start.
    status.start_time = (!suspended).then(|| view.now.clone());
    if suspended && spec.active_deadline_seconds.is_none() {
        status.start_time = None;
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: &Time) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    }
}
