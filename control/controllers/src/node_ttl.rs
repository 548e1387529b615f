//! Tells kubelets how long they may keep Secrets and ConfigMaps: longer in larger clusters. From the number of nodes; to
//! an annotation of each node.

use crate::cluster::{Cluster, patched};
use crate::object_key::ObjectKey;
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::Node;
use kube::api::Patch;
use serde_json::json;
use std::sync::Arc;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// Registers handlers and starts the worker.
pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = WorkQueue::new();
    let to = Arc::clone(&queue);
    cluster.informers.nodes.on_change(move |change| {
        if let Some(node) = change.new {
            to.add(ObjectKey::of(&**node));
        }
    });
    let cluster = Arc::clone(cluster);
    tasks.spawn_workers("ttl-controller", 1, &queue, move |key| {
        let cluster = Arc::clone(&cluster);
        async move { sync(&cluster, &key).await }
    });
}

async fn sync(cluster: &Cluster, key: &ObjectKey) -> Result<(), SyncError> {
    let Some(node) = cluster.informers.nodes.get(key) else { return Ok(()) };
    let wanted = seconds(cluster.informers.nodes.keys().len()).to_string();
    if node.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION)) == Some(&wanted) {
        return Ok(());
    }
    let patch = Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION: wanted}}}));
    ignore_missing(cluster.cluster_api::<Node>().patch(&key.name, &patched(), &patch).await)?;
    Ok(())
}

fn seconds(nodes: usize) -> u32 {
    match nodes {
        0..=100 => 0,
        101..=500 => 15,
        501..=1000 => 30,
        1001..=2000 => 60,
        _ => 300,
    }
}
