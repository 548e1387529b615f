//! Pods leave nodes whose `NoExecute` taints they do not tolerate, at once or after their time. From nodes and pods; to
//! deletions.

use crate::cluster::{Cluster, now, patched};
use crate::object_key::ObjectKey;
use crate::pod_state;
use crate::sync::{SyncError, ignore_missing, is_code};
use crate::taints::{Stay, stay};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{DeleteParams, Patch, Preconditions};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

const NAME: &str = "taint-eviction-controller";

/// The controller.
pub struct TaintEviction {
    cluster: Arc<Cluster>,
    /// Since when each pod (by uid) is under taints that it tolerates for a time.
    since: Mutex<HashMap<String, Instant>>,
    queue: Arc<WorkQueue<ObjectKey>>,
}

impl TaintEviction {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            since: Mutex::new(HashMap::new()),
            queue: Arc::clone(&queue),
        });
        let (to, of) = (Arc::clone(&queue), Arc::clone(cluster));
        cluster.informers.nodes.on_change(move |change| {
            let taints = |node: Option<&Arc<Node>>| node.map(|node| evicting(node)).unwrap_or_default();
            let Some(node) = change.new.filter(|_| taints(change.old) != taints(change.new)) else { return };
            for pod in of.informers.pods.indexed(node.metadata.name.as_deref().unwrap_or_default()) {
                to.add(ObjectKey::of(&*pod));
            }
        });
        let this = Arc::clone(&controller);
        cluster.informers.pods.on_change(move |change| match (change.old, change.new) {
            (Some(old), None) => {
                this.since.lock().remove(old.metadata.uid.as_deref().unwrap_or_default());
            }
            (old, Some(new)) => {
                let tolerations = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.tolerations.clone());
                let same = old.is_some_and(|old| {
                    pod_state::node_name(old) == pod_state::node_name(new) && tolerations(old) == tolerations(new)
                });
                if !same && pod_state::node_name(new).is_some() {
                    this.queue.add(ObjectKey::of(&**new));
                }
            }
            (None, None) => {}
        });
        tasks.spawn_workers(NAME, 8, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let informers = &self.cluster.informers;
        let Some(pod) = informers.pods.get(key).filter(|pod| pod_state::is_active(pod)) else { return Ok(()) };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let node = pod_state::node_name(&pod).and_then(|name| informers.nodes.get(&ObjectKey::cluster(name)));
        let taints = node.map(|node| evicting(&node)).unwrap_or_default();
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
        let Stay::For(allowed) = stay(&tolerations, &taints) else {
            if self.since.lock().remove(&uid).is_some() {
                let message = format!("Cancelling deletion of Pod {key}");
                self.cluster.recorder.normal(NAME, &*pod, "TaintManagerEviction", message);
            }
            return Ok(());
        };
        let since =
            if allowed.is_zero() { None } else { Some(*self.since.lock().entry(uid).or_insert_with(Instant::now)) };
        let left = since.map(|since| allowed.saturating_sub(since.elapsed())).unwrap_or_default();
        if left.is_zero() {
            return self.evict(key, &pod).await;
        }
        self.queue.add_after(key.clone(), left);
        Ok(())
    }

    async fn evict(&self, key: &ObjectKey, pod: &Pod) -> Result<(), SyncError> {
        let message = format!("Marking for deletion Pod {key}");
        self.cluster.recorder.normal(NAME, pod, "TaintManagerEviction", message);
        let patch = disruption(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
        delete_disrupted(&self.cluster, pod, patch, None).await
    }
}

fn evicting(node: &Node) -> Vec<Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

/// A status patch that says why the pod is disrupted.
pub fn disruption(pod: &Pod, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {"uid": pod.metadata.uid},
        "status": {"conditions": [{
            "type": "DisruptionTarget",
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now(),
            "observedGeneration": pod.metadata.generation,
        }]},
    })
}

/// Says in the status of a pod why it goes, and deletes it.
///
/// # Errors
/// When a request fails; a pod that is gone is no failure.
pub async fn delete_disrupted(
    cluster: &Cluster,
    pod: &Pod,
    patch: Value,
    grace_seconds: Option<u32>,
) -> Result<(), SyncError> {
    let key = ObjectKey::of(pod);
    let api = cluster.api::<Pod>(&key.namespace);
    match api.patch_status(&key.name, &patched(), &Patch::Strategic(patch)).await {
        // Another pod has the name now.
        Err(error) if is_code(&error, 409) || is_code(&error, 422) => return Ok(()),
        other => ignore_missing(other)?,
    };
    let only_this = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let params =
        DeleteParams { preconditions: Some(only_this), grace_period_seconds: grace_seconds, ..DeleteParams::default() };
    match api.delete(&key.name, &params).await {
        Err(error) if is_code(&error, 409) => Ok(()),
        other => ignore_missing(other).map(drop).map_err(SyncError::from),
    }
}
