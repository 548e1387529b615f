//! Decides the next step of a Job: count ends, judge, then start or stop pods. From [`super`]; to it. Pure.

use super::indexes;
use super::pods::{index, index_failures, is_tracked};
use super::rules::{Meaning, meaning, success_rule};
use super::status;
use crate::pod_state;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pods created in one round at most.
const BURST: i32 = 500;
/// Pause after a failed pod, doubled by each further one in a row.
const FIRST_PAUSE_SECONDS: i64 = 10;
const LAST_PAUSE_SECONDS: i64 = 600;

/// A job and its pods.
pub struct View<'a> {
    pub job: &'a Job,
    pub pods: &'a [Arc<Pod>],
    pub now: Time,
    /// Whether the cache shows all pods that were asked for.
    pub may_manage: bool,
    pub backoff: &'a Backoff,
}

/// Failures in a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backoff {
    pub failures: u32,
    pub last: Option<Time>,
}

/// A pod to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPod {
    pub index: Option<i32>,
    /// Earlier failures of the index.
    pub failures: i32,
}

/// What to do now, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// The status with the ends that are about to be counted, if it must be written first.
    pub noted: Option<JobStatus>,
    pub delete: Vec<Arc<Pod>>,
    /// Pods that lose their finalizer: their ends are noted.
    pub release: Vec<Arc<Pod>>,
    pub create: Vec<NewPod>,
    pub status: JobStatus,
    /// Severity, reason, message.
    pub events: Vec<(&'static str, &'static str, String)>,
    pub look_again: Option<u64>,
    pub backoff: Backoff,
}

/// How a job ends.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) success: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    fn fail(reason: &str, message: &str) -> Self {
        Self { success: false, reason: reason.to_owned(), message: message.to_owned() }
    }
}

/// The ends of pods, those counted and those still to be.
pub(super) struct Ends {
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    /// Uids noted but not counted.
    pub(super) noted_succeeded: BTreeSet<String>,
    pub(super) noted_failed: BTreeSet<String>,
    pub(super) completed: BTreeSet<i32>,
    pub(super) failed_indexes: BTreeSet<i32>,
    /// Failures of indexes that are tried again.
    pub(super) index_failures: BTreeMap<i32, i32>,
    pub(super) verdict: Option<Verdict>,
    pub(super) new_success: bool,
    pub(super) new_failures: u32,
}

fn is_failed(spec: &JobSpec, pod: &Pod) -> bool {
    if pod_state::phase(pod) == "Failed" {
        return true;
    }
    let only_ended = spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some();
    !only_ended && pod_state::is_terminating(pod) && pod_state::phase(pod) != "Succeeded"
}

/// The next step, and the status after it.
pub fn plan(view: &View<'_>) -> Plan {
    let Some(spec) = &view.job.spec else { return Plan::default() };
    let before = view.job.status.clone().unwrap_or_default();
    let mut plan = Plan { status: before.clone(), backoff: view.backoff.clone(), ..Plan::default() };
    let tracked = || view.pods.iter().filter(|pod| is_tracked(pod));
    if is_finished(&before) || view.job.metadata.deletion_timestamp.is_some() {
        plan.release = tracked().cloned().collect();
        return plan;
    }
    let suspended = spec.suspend == Some(true);
    let start = before.start_time.clone().or_else(|| (!suspended).then(|| view.now.clone()));
    let mut ends = gather(view, spec, &before);
    let verdict = standing_verdict(&before).or_else(|| judge(view, spec, &ends, start.as_ref()));
    if ends.new_success {
        plan.backoff = Backoff::default();
    }
    if ends.new_failures > 0 {
        plan.backoff.failures = plan.backoff.failures.saturating_add(ends.new_failures);
        plan.backoff.last = Some(view.now.clone());
    }
    let active: Vec<Arc<Pod>> = view.pods.iter().filter(|pod| pod_state::is_active(pod)).cloned().collect();
    let ended = |pod: &&Arc<Pod>| pod_state::is_finished(pod) || pod_state::is_terminating(pod);
    plan.release = tracked().filter(ended).cloned().collect();
    if let Some(verdict) = &verdict {
        plan.delete.clone_from(&active);
        for pod in active.iter().filter(|pod| is_tracked(pod)) {
            if !verdict.success {
                ends.noted_failed.insert(pod.metadata.uid.clone().unwrap_or_default());
            }
            plan.release.push(Arc::clone(pod));
        }
    } else if suspended {
        plan.delete.clone_from(&active);
    } else if view.may_manage {
        manage(view, spec, &ends, &active, &mut plan);
    }
    status::write(view, spec, &before, start, ends, verdict, &active, suspended, &mut plan);
    plan
}

fn is_finished(status: &JobStatus) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions.into_iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

/// The verdict that was passed before.
fn standing_verdict(status: &JobStatus) -> Option<Verdict> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions
        .find(|c| matches!(c.type_.as_str(), "SuccessCriteriaMet" | "FailureTarget") && c.status == "True")?;
    Some(Verdict {
        success: condition.type_ == "SuccessCriteriaMet",
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    })
}

/// Counts what was noted and is released, and notes new ends.
fn gather(view: &View<'_>, spec: &JobSpec, before: &JobStatus) -> Ends {
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let limit = spec.completions.unwrap_or(0);
    let noted = before.uncounted_terminated_pods.clone().unwrap_or_default();
    let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
    let tracked: BTreeSet<String> = view.pods.iter().filter(|pod| is_tracked(pod)).map(|pod| uid(pod)).collect();
    let split = |uids: Option<Vec<String>>| -> (BTreeSet<String>, i32) {
        let (left, gone): (BTreeSet<String>, BTreeSet<String>) =
            uids.into_iter().flatten().partition(|uid| tracked.contains(uid));
        (left, i32::try_from(gone.len()).unwrap_or(i32::MAX))
    };
    let (noted_succeeded, counted_succeeded) = split(noted.succeeded);
    let (noted_failed, counted_failed) = split(noted.failed);
    let mut ends = Ends {
        succeeded: before.succeeded.unwrap_or(0) + counted_succeeded,
        failed: before.failed.unwrap_or(0) + counted_failed,
        noted_succeeded,
        noted_failed,
        completed: indexes::parse(before.completed_indexes.as_deref().unwrap_or_default(), limit),
        failed_indexes: indexes::parse(before.failed_indexes.as_deref().unwrap_or_default(), limit),
        index_failures: BTreeMap::new(),
        verdict: None,
        new_success: false,
        new_failures: 0,
    };
    // Pods that are stopped because the job has succeeded did not fail.
    let succeeded = standing_verdict(before).is_some_and(|verdict| verdict.success);
    for pod in view.pods {
        let of_index = index(pod).filter(|index| indexed && *index < limit);
        if pod_state::phase(pod) == "Succeeded" && is_tracked(pod) {
            let is_new = match of_index {
                Some(index) => ends.completed.insert(index),
                None if indexed => false,
                None => ends.noted_succeeded.insert(uid(pod)),
            };
            ends.new_success |= is_new;
        } else if is_failed(spec, pod) && !(succeeded && pod_state::phase(pod) != "Failed") {
            let is_new = is_tracked(pod) && !ends.noted_failed.contains(&uid(pod));
            let meaning = meaning(spec, pod);
            note_index_failure(spec, pod, of_index, &meaning, &mut ends);
            if is_new {
                if let Meaning::FailJob(message) = &meaning {
                    ends.verdict.get_or_insert_with(|| Verdict::fail("PodFailurePolicy", message));
                }
                if meaning != Meaning::Ignore {
                    ends.noted_failed.insert(uid(pod));
                    ends.new_failures += 1;
                }
            }
        }
    }
    if indexed {
        ends.succeeded = i32::try_from(ends.completed.len()).unwrap_or(i32::MAX);
    }
    ends
}

fn note_index_failure(spec: &JobSpec, pod: &Pod, index: Option<i32>, meaning: &Meaning, ends: &mut Ends) {
    let (Some(index), Some(limit)) = (index, spec.backoff_limit_per_index) else { return };
    let failures = index_failures(pod) + i32::from(*meaning != Meaning::Ignore);
    let known = ends.index_failures.entry(index).or_insert(0);
    *known = failures.max(*known);
    if failures > limit || *meaning == Meaning::FailIndex {
        ends.failed_indexes.insert(index);
    }
}

impl Ends {
    pub(super) fn all_succeeded(&self) -> i32 {
        self.succeeded + i32::try_from(self.noted_succeeded.len()).unwrap_or(i32::MAX)
    }

    pub(super) fn all_failed(&self) -> i32 {
        self.failed + i32::try_from(self.noted_failed.len()).unwrap_or(i32::MAX)
    }
}

/// Whether the job is decided.
fn judge(view: &View<'_>, spec: &JobSpec, ends: &Ends, start: Option<&Time>) -> Option<Verdict> {
    if let Some(verdict) = &ends.verdict {
        return Some(verdict.clone());
    }
    let backoff_limit = spec.backoff_limit.unwrap_or(6);
    if ends.all_failed() > backoff_limit || restarts_exceed(view, spec, backoff_limit) {
        return Some(Verdict::fail("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    let elapsed = start.map(|start| view.now.0.as_second().saturating_sub(start.0.as_second()));
    let late = spec.active_deadline_seconds.zip(elapsed).is_some_and(|(deadline, elapsed)| elapsed >= deadline);
    if late && spec.suspend != Some(true) {
        return Some(Verdict::fail("DeadlineExceeded", "Job was active longer than specified deadline"));
    }
    let completions = spec.completions;
    if let Some(completions) = completions
        && spec.completion_mode.as_deref() == Some("Indexed")
    {
        let failed = i32::try_from(ends.failed_indexes.len()).unwrap_or(i32::MAX);
        if spec.max_failed_indexes.is_some_and(|most| failed > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::fail("MaxFailedIndexesExceeded", message));
        }
        if failed > 0 && failed + ends.succeeded >= completions {
            return Some(Verdict::fail("FailedIndexes", "Job has failed indexes"));
        }
        if let Some(rule) = success_rule(spec, &ends.completed) {
            let message = format!("Matched rules at index {rule}");
            return Some(Verdict { success: true, reason: "SuccessPolicy".to_owned(), message });
        }
    }
    let succeeded = ends.all_succeeded();
    let idle = !view.pods.iter().any(|pod| pod_state::is_active(pod));
    let done = completions.map_or(succeeded > 0 && idle, |completions| succeeded >= completions);
    done.then(|| Verdict {
        success: true,
        reason: "CompletionsReached".to_owned(),
        message: "Reached expected number of succeeded pods".to_owned(),
    })
}

/// Whether containers that restart in their pods have done so too often.
fn restarts_exceed(view: &View<'_>, spec: &JobSpec, limit: i32) -> bool {
    let on_failure = spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref()) == Some("OnFailure");
    let running = view.pods.iter().filter(|pod| matches!(pod_state::phase(pod), "Running" | "Pending"));
    let restarts: i32 = running
        .filter_map(|pod| pod.status.as_ref())
        .flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        })
        .map(|container| container.restart_count)
        .sum();
    on_failure && if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// Starts and stops pods so that as many run as should.
fn manage(view: &View<'_>, spec: &JobSpec, ends: &Ends, active: &[Arc<Pod>], plan: &mut Plan) {
    let parallelism = spec.parallelism.unwrap_or(1);
    let running = i32::try_from(active.len()).unwrap_or(i32::MAX);
    let wanted = match spec.completions {
        None if ends.all_succeeded() > 0 => running.min(parallelism),
        None => parallelism,
        Some(completions) => {
            let open = completions - ends.all_succeeded() - i32::try_from(ends.failed_indexes.len()).unwrap_or(0);
            parallelism.min(open.max(0))
        }
    };
    if running > wanted {
        let mut victims = active.to_vec();
        victims.sort_by_key(|pod| {
            (
                pod_state::node_name(pod).is_some(),
                pod_state::is_ready(pod),
                std::cmp::Reverse(pod.metadata.creation_timestamp.clone()),
            )
        });
        victims.truncate(usize::try_from(running - wanted).unwrap_or(0));
        plan.delete = victims;
        return;
    }
    let ending = view.pods.iter().filter(|pod| pod_state::is_terminating(pod) && !pod_state::is_finished(pod));
    let waits_for_ends = spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some();
    let ending = if waits_for_ends { i32::try_from(ending.count()).unwrap_or(0) } else { 0 };
    let missing = (wanted - running - ending).clamp(0, BURST);
    if missing == 0 {
        return;
    }
    if let Some(seconds) = pause(&plan.backoff, &view.now) {
        plan.look_again = Some(seconds);
        return;
    }
    if spec.completion_mode.as_deref() == Some("Indexed") {
        let busy: BTreeSet<i32> = active.iter().filter_map(|pod| index(pod)).collect();
        let open = (0..spec.completions.unwrap_or(0)).filter(|index| {
            !busy.contains(index) && !ends.completed.contains(index) && !ends.failed_indexes.contains(index)
        });
        plan.create = open
            .take(usize::try_from(missing).unwrap_or(0))
            .map(|index| NewPod { index: Some(index), failures: ends.index_failures.get(&index).copied().unwrap_or(0) })
            .collect();
    } else {
        plan.create = (0..missing).map(|_| NewPod { index: None, failures: 0 }).collect();
    }
}

/// Seconds to wait before new pods after failures.
fn pause(backoff: &Backoff, now: &Time) -> Option<u64> {
    let last = backoff.last.as_ref().filter(|_| backoff.failures > 0)?;
    let doubled = FIRST_PAUSE_SECONDS.saturating_mul(1_i64 << (backoff.failures - 1).min(10)).min(LAST_PAUSE_SECONDS);
    let left = last.0.as_second().saturating_add(doubled).saturating_sub(now.0.as_second());
    u64::try_from(left).ok().filter(|left| *left > 0)
}

#[cfg(test)]
mod tests;
