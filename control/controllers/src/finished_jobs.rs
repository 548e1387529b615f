//! Jobs with `ttlSecondsAfterFinished` are deleted that long after their end. From jobs; to deletions.

use crate::cluster::{Cluster, now};
use crate::object_key::ObjectKey;
use crate::sync::{SyncError, ignore_missing, is_code};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Preconditions};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "ttl-after-finished-controller";

/// Registers handlers and starts the worker.
pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = WorkQueue::new();
    let to = Arc::clone(&queue);
    cluster.informers.jobs.on_change(move |change| {
        if let Some(job) = change.new.filter(|job| expiry(job).is_some()) {
            to.add(ObjectKey::of(&**job));
        }
    });
    let (cluster, again) = (Arc::clone(cluster), Arc::clone(&queue));
    tasks.spawn_workers(NAME, 1, &queue, move |key| {
        let (cluster, again) = (Arc::clone(&cluster), Arc::clone(&again));
        async move { sync(&cluster, &again, &key).await }
    });
}

async fn sync(cluster: &Cluster, queue: &Arc<WorkQueue<ObjectKey>>, key: &ObjectKey) -> Result<(), SyncError> {
    let Some(job) = cluster.informers.jobs.get(key) else { return Ok(()) };
    let Some(due) = expiry(&job) else { return Ok(()) };
    let left = due.saturating_sub(now().0.as_second());
    if let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) {
        queue.add_after(key.clone(), Duration::from_secs(left));
        return Ok(());
    }
    let api = cluster.api::<Job>(&key.namespace);
    // The cache may be old, and the time may have been prolonged.
    let Some(live) = ignore_missing(api.get(&key.name).await)? else { return Ok(()) };
    if expiry(&live).is_none_or(|due| due > now().0.as_second()) {
        return Ok(());
    }
    let preconditions =
        Preconditions { uid: live.metadata.uid.clone(), resource_version: live.metadata.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::foreground() };
    match api.delete(&key.name, &params).await {
        Err(error) if is_code(&error, 404) => Ok(()),
        other => other.map(drop).map_err(SyncError::from),
    }
}

/// The second in which the job is to be deleted.
fn expiry(job: &Job) -> Option<i64> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(end(job)?.0.as_second().saturating_add(i64::from(ttl)))
}

/// When the job completed or failed.
pub fn end(job: &Job) -> Option<&Time> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    let last = conditions.find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    last.last_transition_time.as_ref()
}
