//! Jobs: runs pods until enough have succeeded or too many failed. From informers; through [`plan`] (pure) to pods.
//!
//! Each pod carries a finalizer until its end is counted, so none is counted twice or missed.

use crate::adoption::settle;
use crate::cluster::{Cluster, controller_object, now, patched, written};
use crate::expectations::Expectations;
use crate::informer::Change;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::owners::{claim, controller_of};
use crate::pod_control::PodControl;
use crate::pod_state;
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Patch;
use parking_lot::Mutex;
use plan::{Backoff, Plan, View};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub mod indexes;
pub mod plan;
pub mod pods;
pub mod rules;
mod status;

const COMPONENT: &str = "job-controller";
const WORKERS: usize = 5;

/// The controller.
pub struct JobController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
    expectations: Arc<Expectations>,
    pods: PodControl,
    backoffs: Mutex<HashMap<ObjectKey, Backoff>>,
}

impl JobController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let lost: Arc<WorkQueue<ObjectKey>> = WorkQueue::new();
        let expectations = Arc::new(Expectations::default());
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            queue: Arc::clone(&queue),
            expectations: Arc::clone(&expectations),
            pods: PodControl::new(Arc::clone(cluster), COMPONENT, expectations),
            backoffs: Mutex::new(HashMap::new()),
        });
        let (this, to) = (Arc::clone(&controller), Arc::clone(&lost));
        cluster.informers.jobs.on_change(move |change| {
            let Some(job) = change.latest() else { return };
            let key = ObjectKey::of(&**job);
            if change.new.is_none() {
                this.expectations.forget(&key);
                this.backoffs.lock().remove(&key);
                for pod in this.cluster.informers.pods.owned_by(job.metadata.uid.as_deref().unwrap_or_default()) {
                    to.add(ObjectKey::of(&*pod));
                }
            }
            this.queue.add(key);
        });
        let (this, to) = (Arc::clone(&controller), Arc::clone(&lost));
        cluster.informers.pods.on_change(move |change| this.pod_changed(change, &to));
        let this = Arc::clone(&controller);
        tasks.spawn_workers("job-controller-orphans", 1, &lost, move |key| {
            let this = Arc::clone(&this);
            async move { this.release_lost(&key).await }
        });
        tasks.spawn_workers(COMPONENT, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn pod_changed(&self, change: &Change<'_, Pod>, lost: &Arc<WorkQueue<ObjectKey>>) {
        let jobs = &self.cluster.informers.jobs;
        let Some(pod) = change.latest() else { return };
        match controller_of(&**pod) {
            Some(owner) if owner.kind == "Job" => {
                let Some(job) = controller_object(&**pod, jobs) else {
                    if change.new.is_some() && pods::is_tracked(pod) {
                        lost.add(ObjectKey::of(&**pod));
                    }
                    return;
                };
                let key = ObjectKey::of(&*job);
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                match (change.old, change.new) {
                    (None, Some(_)) => self.expectations.created(&key),
                    (_, None) => self.expectations.deleted(&key, uid),
                    (Some(_), Some(new)) if pod_state::is_terminating(new) => self.expectations.deleted(&key, uid),
                    (Some(_), Some(_)) => {}
                }
                self.queue.add(key);
            }
            Some(_) => {}
            None => {
                if change.new.is_some() && pods::is_tracked(pod) {
                    lost.add(ObjectKey::of(&**pod));
                }
                for job in jobs.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
                    let selector = Selector::of(job.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
                    if selector.matches(pod.metadata.labels.as_ref()) {
                        self.queue.add(ObjectKey::of(&*job));
                    }
                }
            }
        }
    }

    /// Lets a pod go whose job is gone.
    async fn release_lost(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(pod) = self.cluster.informers.pods.get(key) else { return Ok(()) };
        if !pods::is_tracked(&pod) || controller_object(&*pod, &self.cluster.informers.jobs).is_some() {
            return Ok(());
        }
        if let Some(owner) = controller_of(&*pod) {
            let job = ignore_missing(self.cluster.api::<Job>(&key.namespace).get(&owner.name).await)?;
            if job.is_some_and(|job| job.metadata.uid.as_deref() == Some(owner.uid.as_str())) {
                return Err(SyncError::NotYet("the job of the pod is not in the cache yet".to_owned()));
            }
        }
        self.release(&pod).await
    }

    async fn release(&self, pod: &Pod) -> Result<(), SyncError> {
        let kept: Vec<&String> =
            pod.metadata.finalizers.iter().flatten().filter(|name| *name != pods::FINALIZER).collect();
        let patch = Patch::Merge(json!({"metadata": {
            "uid": pod.metadata.uid,
            "resourceVersion": pod.metadata.resource_version,
            "finalizers": kept,
        }}));
        let key = ObjectKey::of(pod);
        let api = self.cluster.api::<Pod>(&key.namespace);
        ignore_missing(api.patch(&key.name, &patched(), &patch).await)?;
        Ok(())
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(job) = self.cluster.informers.jobs.get(key) else { return Ok(()) };
        let Some(spec) = &job.spec else { return Ok(()) };
        if spec.managed_by.as_deref().is_some_and(|manager| manager != "kubernetes.io/job-controller") {
            return Ok(());
        }
        let pods = self.claim_pods(&job).await?;
        let backoff = self.backoffs.lock().get(key).cloned().unwrap_or_default();
        let view = View {
            job: &job,
            pods: &pods,
            now: now(),
            may_manage: self.expectations.fulfilled(key),
            backoff: &backoff,
        };
        let plan = plan::plan(&view);
        self.backoffs.lock().insert(key.clone(), plan.backoff.clone());
        self.execute(key, &job, plan).await
    }

    async fn execute(&self, key: &ObjectKey, job: &Arc<Job>, plan: Plan) -> Result<(), SyncError> {
        let mut current = Arc::clone(job);
        // What is about to be counted is written down first: a crash in between loses nothing.
        if let Some(status) = plan.noted {
            current = self.write_status(&current, status).await?;
        }
        // Released first: a deletion changes the pod, and a stopped pod that is still tracked would count as failed.
        let released = join_all(plan.release.iter().map(|pod| self.release(pod))).await;
        SyncError::all(released.into_iter().filter_map(Result::err).collect())?;
        self.pods.delete_many(&**job, key, &plan.delete).await?;
        let create = &plan.create;
        let make = |number: usize| {
            let index = create.get(number).and_then(|pod| pod.index);
            let failures = create.get(number).map_or(0, |pod| pod.failures);
            Ok(pods::new_pod(job, index, failures))
        };
        let outcome = self.pods.create_many(&**job, key, create.len(), make).await;
        let mut status = plan.status;
        if outcome.is_err() {
            let created = i32::try_from(create.len()).unwrap_or(i32::MAX);
            status.active = status.active.map(|active| active - created).filter(|active| *active > 0);
        }
        if current.status.as_ref() != Some(&status) {
            self.write_status(&current, status).await?;
        }
        for (severity, reason, message) in plan.events {
            if severity == "Normal" {
                self.cluster.recorder.normal(COMPONENT, &**job, reason, message);
            } else {
                self.cluster.recorder.warning(COMPONENT, &**job, reason, message);
            }
        }
        if let Some(seconds) = plan.look_again {
            self.queue.add_after(key.clone(), Duration::from_secs(seconds));
        }
        outcome
    }

    async fn write_status(&self, job: &Arc<Job>, status: JobStatus) -> Result<Arc<Job>, SyncError> {
        let key = ObjectKey::of(&**job);
        let updated = Job { status: Some(status), ..(**job).clone() };
        let api = self.cluster.api::<Job>(&key.namespace);
        Ok(Arc::new(api.replace_status(&key.name, &written(), &updated).await?))
    }

    async fn claim_pods(&self, job: &Arc<Job>) -> Result<Vec<Arc<Pod>>, SyncError> {
        let selector = Selector::of(job.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
        let candidates = self.cluster.informers.pods.claimable_by(&job.metadata);
        settle(&self.cluster, claim(candidates, &job.metadata, &selector), &**job).await
    }
}
