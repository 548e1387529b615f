//! Nodes that are not heard of become unknown; nodes that are not well get taints. From leases and node status; through
//! [`health`] (pure) to conditions, taints and events.

use crate::cluster::{Cluster, now, patched, written};
use crate::config::Config;
use crate::informer::Change;
use crate::object_key::ObjectKey;
use crate::pod_state;
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use health::{ready_status, silent_status, taints, with_old_labels};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Patch;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub mod health;

const NAME: &str = "node-controller";
/// A node that never posted a status has this long to do so.
const STARTUP: Duration = Duration::from_secs(60);

/// The controller.
pub struct NodeLifecycle {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
    grace: Duration,
    /// When each node was last heard of, by our clock.
    heard: Mutex<HashMap<String, Instant>>,
}

impl NodeLifecycle {
    /// Registers handlers and starts workers.
    pub fn start(config: &Config, cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            queue: WorkQueue::new(),
            grace: config.node_grace_period,
            heard: Mutex::new(HashMap::new()),
        });
        let this = Arc::clone(&controller);
        cluster.informers.nodes.on_change(move |change| this.node_changed(change));
        let this = Arc::clone(&controller);
        cluster.informers.leases.on_change(move |change| this.lease_changed(change));
        let queue = Arc::clone(&controller.queue);
        tasks.spawn_workers(NAME, 4, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn node_changed(&self, change: &Change<'_, Node>) {
        let Some(node) = change.latest() else { return };
        let name = node.metadata.name.clone().unwrap_or_default();
        let recorder = &self.cluster.recorder;
        match (change.old, change.new) {
            (_, None) => {
                self.heard.lock().remove(&name);
                let message = format!("Node {name} event: Removing Node {name} from Controller");
                recorder.normal(NAME, &**node, "RemovingNode", message);
                return;
            }
            (None, Some(_)) => {
                self.hear(&name);
                let message = format!("Node {name} event: Registered Node {name} in Controller");
                recorder.normal(NAME, &**node, "RegisteredNode", message);
            }
            (Some(old), Some(new)) => {
                if health::heartbeat(old) != health::heartbeat(new) {
                    self.hear(&name);
                }
                if ready_status(old) == Some("True") && ready_status(new) != Some("True") {
                    let message = format!("Node {name} status is now: NodeNotReady");
                    recorder.normal(NAME, &**new, "NodeNotReady", message);
                }
            }
        }
        self.queue.add(ObjectKey::cluster(name));
    }

    fn lease_changed(&self, change: &Change<'_, Lease>) {
        let Some(lease) = change.new else { return };
        let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        if change.old.is_none_or(|old| renewed(old) != renewed(lease)) {
            self.hear(lease.metadata.name.as_deref().unwrap_or_default());
        }
    }

    fn hear(&self, name: &str) {
        self.heard.lock().insert(name.to_owned(), Instant::now());
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(node) = self.cluster.informers.nodes.get(key) else { return Ok(()) };
        let grace = if health::heartbeat(&node).is_none() { self.grace.max(STARTUP) } else { self.grace };
        let silence = self.heard.lock().entry(key.name.clone()).or_insert_with(Instant::now).elapsed();
        let node = if silence < grace {
            self.queue.add_after(key.clone(), grace.saturating_sub(silence));
            node
        } else {
            self.queue.add_after(key.clone(), grace);
            self.declare_unknown(node).await?
        };
        let node = self.write_labels(node).await?;
        self.write_taints(&node).await?;
        if ready_status(&node).is_some_and(|ready| ready != "True") {
            self.mark_pods_not_ready(&key.name).await?;
        }
        Ok(())
    }

    async fn declare_unknown(&self, node: Arc<Node>) -> Result<Arc<Node>, SyncError> {
        let Some(status) = silent_status(&node, &now()) else { return Ok(node) };
        let name = node.metadata.name.clone().unwrap_or_default();
        tracing::info!(node = %name, "node is not heard of");
        let updated = Node { status: Some(status), ..(*node).clone() };
        let api = self.cluster.cluster_api::<Node>();
        Ok(Arc::new(api.replace_status(&name, &written(), &updated).await?))
    }

    async fn write_labels(&self, node: Arc<Node>) -> Result<Arc<Node>, SyncError> {
        let labels = with_old_labels(&node);
        if labels.is_empty() {
            return Ok(node);
        }
        let name = node.metadata.name.clone().unwrap_or_default();
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let api = self.cluster.cluster_api::<Node>();
        let patched = ignore_missing(api.patch(&name, &patched(), &patch).await)?;
        Ok(patched.map_or(node, Arc::new))
    }

    async fn write_taints(&self, node: &Node) -> Result<(), SyncError> {
        let Some(taints) = taints(node, &now()) else { return Ok(()) };
        let name = node.metadata.name.clone().unwrap_or_default();
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": if taints.is_empty() { None } else { Some(taints) }},
        }));
        let api = self.cluster.cluster_api::<Node>();
        ignore_missing(api.patch(&name, &patched(), &patch).await)?;
        Ok(())
    }

    async fn mark_pods_not_ready(&self, node: &str) -> Result<(), SyncError> {
        let mut errors = Vec::new();
        for pod in self.cluster.informers.pods.indexed(node).iter().filter(|pod| pod_state::is_ready(pod)) {
            let key = ObjectKey::of::<Pod>(pod);
            self.cluster.recorder.warning(NAME, &**pod, "NodeNotReady", "Node is not ready".to_owned());
            let patch = Patch::Strategic(json!({
                "metadata": {"uid": pod.metadata.uid},
                "status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now()}]},
            }));
            let api = self.cluster.api::<Pod>(&key.namespace);
            let outcome = api.patch_status(&key.name, &patched(), &patch).await;
            errors.extend(ignore_missing(outcome).err().map(SyncError::from));
        }
        SyncError::all(errors)
    }
}
