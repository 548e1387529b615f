//! Decides whether a CronJob starts a Job now, and when to look again. From [`super`]; to it. Pure.

use super::schedule::Schedule;
use crate::finished_jobs;
use crate::owners::controller_reference;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

/// Annotation of a Job with the time that it was due.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are worth a warning.
const MANY: usize = 100;

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Start the job that was due then.
    pub start: Option<Timestamp>,
    /// End the running jobs first.
    pub replace: bool,
    /// When the next one is due.
    pub next: Option<Timestamp>,
    /// Reason and message.
    pub warnings: Vec<(&'static str, String)>,
}

/// Looks for the latest time that was due and not served.
pub fn decide(cron_job: &CronJob, status: &CronJobStatus, schedule: &Schedule, now: Timestamp) -> Decision {
    let Some(spec) = &cron_job.spec else { return Decision::default() };
    let mut decision = Decision::default();
    if spec.suspend == Some(true) {
        return decision;
    }
    decision.next = schedule.next_after(now);
    let created = cron_job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let mut since = status.last_schedule_time.as_ref().map_or(created, |time| time.0);
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if let Some(earliest) = deadline.and_then(|deadline| now.checked_sub(deadline).ok()) {
        since = since.max(earliest);
    }
    let (due, missed) = schedule.latest_between(since, now, MANY + 1);
    let Some(due) = due else { return decision };
    if missed > MANY {
        let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        decision.warnings.push(("TooManyMissedTimes", message.to_owned()));
    }
    if deadline.is_some_and(|deadline| now.duration_since(due) > deadline) {
        let message = format!("Missed scheduled time to start a job: {due}");
        decision.warnings.push(("MissSchedule", message));
        return decision;
    }
    let running = status.active.as_ref().is_some_and(|active| !active.is_empty());
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if running => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            decision.warnings.push(("JobAlreadyActive", message.to_owned()));
            return decision;
        }
        Some("Replace") => decision.replace = running,
        Some(_) | None => {}
    }
    decision.start = Some(due);
    decision
}

/// The job for a time that was due. Its name follows from the time, so that it is made once.
pub fn new_job(cron_job: &CronJob, due: Timestamp) -> Job {
    let template = cron_job.spec.as_ref().map(|spec| spec.job_template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), due.to_string());
    let name = cron_job.metadata.name.as_deref().unwrap_or_default();
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{}", due.as_second() / 60)),
            namespace: cron_job.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(cron_job)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// Ended jobs beyond the history limits, oldest first.
pub fn beyond_history(cron_job: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let Some(spec) = &cron_job.spec else { return Vec::new() };
    let ended = |kind: &str| {
        let mut ended: Vec<Arc<Job>> = jobs
            .iter()
            .filter(|job| {
                let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
                conditions.into_iter().any(|c| c.type_ == kind && c.status == "True")
            })
            .cloned()
            .collect();
        ended.sort_by_key(|job| finished_jobs::end(job).cloned());
        ended
    };
    let limits = [
        ("Complete", spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    let mut beyond = Vec::new();
    for (kind, limit) in limits {
        let ended = ended(kind);
        let surplus = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        beyond.extend(ended.into_iter().take(surplus));
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::batch::v1::CronJobSpec;
    use k8s_openapi::api::core::v1::ObjectReference;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn the_latest_missed_time_is_served_once() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let schedule = Schedule::parse("*/10 * * * *", None).unwrap();
        let mut cron_job = CronJob { spec: Some(CronJobSpec::default()), ..CronJob::default() };
        cron_job.metadata.name = Some("c".into());
        cron_job.metadata.creation_timestamp = Some(Time(at("2026-01-01T00:01:00Z")));
        let mut status = CronJobStatus::default();
        let decision = decide(&cron_job, &status, &schedule, at("2026-01-01T00:09:00Z"));
        assert_eq!((decision.start, decision.next), (None, Some(at("2026-01-01T00:10:00Z"))));
        let decision = decide(&cron_job, &status, &schedule, at("2026-01-01T00:35:00Z"));
        assert_eq!(decision.start, Some(at("2026-01-01T00:30:00Z")));
        let job = new_job(&cron_job, at("2026-01-01T00:30:00Z"));
        assert_eq!(job.metadata.name.as_deref(), Some("c-29453790"));
        status.last_schedule_time = decision.start.map(Time);
        assert_eq!(decide(&cron_job, &status, &schedule, at("2026-01-01T00:36:00Z")).start, None);
        status.active = Some(vec![ObjectReference::default()]);
        let spec = cron_job.spec.as_mut().unwrap();
        spec.concurrency_policy = Some("Forbid".into());
        assert_eq!(decide(&cron_job, &status, &schedule, at("2026-01-01T00:41:00Z")).start, None);
        cron_job.spec.as_mut().unwrap().concurrency_policy = Some("Replace".into());
        assert!(decide(&cron_job, &status, &schedule, at("2026-01-01T00:41:00Z")).replace);
    }
}
