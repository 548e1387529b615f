//! CronJobs: make Jobs at the times of a schedule. From informers and the clock; through [`plan`] (pure) to Jobs.

use crate::cluster::{Cluster, controller_object, now, written};
use crate::finished_jobs;
use crate::object_key::ObjectKey;
use crate::sync::{SyncError, has_reason, ignore_missing, message_of};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource as _;
use kube::api::{DeleteParams, Preconditions};
use plan::{Decision, decide, new_job};
use schedule::Schedule;
use std::sync::Arc;
use std::time::Duration;

pub mod plan;
pub mod schedule;

const COMPONENT: &str = "cronjob-controller";

/// The controller.
pub struct CronJobController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
}

impl CronJobController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let to = Arc::clone(&queue);
        cluster.informers.cron_jobs.on_change(move |change| {
            if let Some(cron_job) = change.new {
                to.add(ObjectKey::of(&**cron_job));
            }
        });
        let (to, of) = (Arc::clone(&queue), Arc::clone(cluster));
        cluster.informers.jobs.on_change(move |change| {
            if let Some(owner) = change.latest().and_then(|job| controller_object(&**job, &of.informers.cron_jobs)) {
                to.add(ObjectKey::of(&*owner));
            }
        });
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), queue: Arc::clone(&queue) });
        tasks.spawn_workers(COMPONENT, 4, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(cron_job) = self.cluster.informers.cron_jobs.get(key) else { return Ok(()) };
        let Some(spec) = cron_job.spec.as_ref().filter(|_| cron_job.metadata.deletion_timestamp.is_none()) else {
            return Ok(());
        };
        let jobs = self.cluster.informers.jobs.owned_by(cron_job.metadata.uid.as_deref().unwrap_or_default());
        self.forget_old(&cron_job, &jobs).await?;
        let mut status = self.observed(&cron_job, &jobs);
        let schedule = match Schedule::parse(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(schedule) => schedule,
            Err(error) => {
                let message = format!("unparseable schedule: {:?} : {error}", spec.schedule);
                self.cluster.recorder.warning(COMPONENT, &*cron_job, "UnparseableSchedule", message);
                return self.write_status(&cron_job, status).await;
            }
        };
        let decision = decide(&cron_job, &status, &schedule, now().0);
        let outcome = self.act(&cron_job, &decision, &jobs, &mut status).await;
        self.write_status(&cron_job, status).await?;
        if let Some(next) = decision.next {
            let pause = next.as_millisecond().saturating_sub(jiff::Timestamp::now().as_millisecond());
            self.queue
                .add_after(key.clone(), Duration::from_millis(u64::try_from(pause).unwrap_or(0).saturating_add(100)));
        }
        outcome
    }

    async fn act(
        &self,
        cron_job: &Arc<CronJob>,
        decision: &Decision,
        jobs: &[Arc<Job>],
        status: &mut CronJobStatus,
    ) -> Result<(), SyncError> {
        let recorder = &self.cluster.recorder;
        for (reason, message) in &decision.warnings {
            recorder.warning(COMPONENT, &**cron_job, reason, message.clone());
        }
        let Some(due) = decision.start else { return Ok(()) };
        if decision.replace {
            for job in jobs.iter().filter(|job| finished_jobs::end(job).is_none()) {
                self.delete(cron_job, job).await?;
            }
            status.active = None;
        }
        let namespace = cron_job.metadata.namespace.as_deref().unwrap_or_default();
        let job = new_job(cron_job, due);
        match self.cluster.api::<Job>(namespace).create(&written(), &job).await {
            Ok(created) => {
                let name = created.metadata.name.clone().unwrap_or_default();
                recorder.normal(COMPONENT, &**cron_job, "SuccessfulCreate", format!("Created job {name}"));
                status.active.get_or_insert_default().push(reference(&created));
                status.last_schedule_time = Some(Time(due));
                Ok(())
            }
            // Made in an earlier round whose status was lost.
            Err(error) if has_reason(&error, "AlreadyExists") => {
                status.last_schedule_time = Some(Time(due));
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating job: {}", message_of(&error));
                recorder.warning(COMPONENT, &**cron_job, "FailedCreate", message);
                Err(error.into())
            }
        }
    }

    /// The status without jobs that ended or are gone.
    fn observed(&self, cron_job: &CronJob, jobs: &[Arc<Job>]) -> CronJobStatus {
        let mut status = cron_job.status.clone().unwrap_or_default();
        let mut active = status.active.take().unwrap_or_default();
        active.retain(|known| {
            let Some(job) = jobs.iter().find(|job| job.metadata.uid == known.uid) else { return false };
            let ended = finished_jobs::end(job).is_some();
            if ended {
                let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
                let last = conditions.into_iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed"));
                let message = format!(
                    "Saw completed job: {}, condition: {}",
                    job.metadata.name.as_deref().unwrap_or_default(),
                    last.map_or("", |last| last.type_.as_str())
                );
                self.cluster.recorder.normal(COMPONENT, cron_job, "SawCompletedJob", message);
            }
            !ended
        });
        for job in jobs.iter().filter(|job| finished_jobs::end(job).is_none()) {
            if !active.iter().any(|known| known.uid == job.metadata.uid) {
                active.push(reference(job));
            }
        }
        let succeeded = jobs.iter().filter_map(|job| job.status.as_ref()?.completion_time.clone()).max();
        status.last_successful_time = status.last_successful_time.max(succeeded);
        status.active = (!active.is_empty()).then_some(active);
        status
    }

    /// Deletes the oldest ended jobs beyond the history limits.
    async fn forget_old(&self, cron_job: &Arc<CronJob>, jobs: &[Arc<Job>]) -> Result<(), SyncError> {
        for job in plan::beyond_history(cron_job, jobs) {
            self.delete(cron_job, &job).await?;
        }
        Ok(())
    }

    async fn delete(&self, cron_job: &Arc<CronJob>, job: &Job) -> Result<(), SyncError> {
        let key = ObjectKey::of(job);
        let preconditions = Preconditions { uid: job.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        if ignore_missing(self.cluster.api::<Job>(&key.namespace).delete(&key.name, &params).await)?.is_some() {
            let message = format!("Deleted job {}", key.name);
            self.cluster.recorder.normal(COMPONENT, &**cron_job, "SuccessfulDelete", message);
        }
        Ok(())
    }

    async fn write_status(&self, cron_job: &Arc<CronJob>, status: CronJobStatus) -> Result<(), SyncError> {
        if cron_job.status.clone().unwrap_or_default() == status {
            return Ok(());
        }
        let key = ObjectKey::of(&**cron_job);
        let updated = CronJob { status: Some(status), ..(**cron_job).clone() };
        let api = self.cluster.api::<CronJob>(&key.namespace);
        api.replace_status(&key.name, &written(), &updated).await?;
        Ok(())
    }
}

fn reference(job: &Job) -> ObjectReference {
    job.object_ref(&())
}
