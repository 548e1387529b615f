//! Pods that nobody ends: of nodes that are gone, deleted before they had a node, or finished beyond what is kept. From
//! stores, now and then; to deletions.

use crate::cluster::Cluster;
use crate::config::Config;
use crate::informer::describe;
use crate::object_key::ObjectKey;
use crate::pod_state;
use crate::sync::{SyncError, ignore_missing};
use crate::taint_eviction::{delete_disrupted, disruption};
use crate::tasks::Tasks;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pause between rounds.
const PERIOD: Duration = Duration::from_secs(20);
/// A node must be gone this long: it may only not be known yet.
const QUARANTINE: Duration = Duration::from_secs(40);

/// Starts the collector.
pub fn start(config: &Config, cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let mut collector =
        PodGc { cluster: Arc::clone(cluster), kept: config.finished_pods_kept, missing_since: HashMap::new() };
    tasks.spawn_when_ready(async move {
        loop {
            if let Err(error) = collector.round().await {
                tracing::warn!(controller = "pod-garbage-collector", error = %describe(&error), "will retry");
            }
            tokio::time::sleep(PERIOD).await;
        }
    });
}

struct PodGc {
    cluster: Arc<Cluster>,
    kept: usize,
    missing_since: HashMap<String, Instant>,
}

impl PodGc {
    async fn round(&mut self) -> Result<(), SyncError> {
        let pods = self.cluster.informers.pods.all();
        let gone = self.gone_nodes(&pods).await?;
        let mut errors = Vec::new();
        for (pod, why) in condemned(&pods, &gone, self.kept) {
            errors.extend(delete_disrupted(&self.cluster, &pod, end_patch(&pod, why), Some(0)).await.err());
        }
        SyncError::all(errors)
    }

    /// Nodes that pods name, that are not there, and that the API server confirms to be gone.
    async fn gone_nodes(&mut self, pods: &[Arc<Pod>]) -> Result<HashSet<String>, SyncError> {
        let nodes = &self.cluster.informers.nodes;
        let missing: HashSet<String> = pods
            .iter()
            .filter_map(|pod| pod_state::node_name(pod))
            .filter(|name| nodes.get(&ObjectKey::cluster(*name)).is_none())
            .map(str::to_owned)
            .collect();
        self.missing_since.retain(|name, _| missing.contains(name));
        let mut gone = HashSet::new();
        for name in missing {
            let since = *self.missing_since.entry(name.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= QUARANTINE
                && ignore_missing(self.cluster.cluster_api::<Node>().get(&name).await)?.is_none()
            {
                gone.insert(name);
            }
        }
        Ok(gone)
    }
}

/// Why a pod is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NodeGone,
    NeverScheduled,
    Finished,
}

fn condemned(pods: &[Arc<Pod>], gone: &HashSet<String>, kept: usize) -> Vec<(Arc<Pod>, Why)> {
    let mut condemned = Vec::new();
    for pod in pods {
        match pod_state::node_name(pod) {
            Some(node) if gone.contains(node) => condemned.push((Arc::clone(pod), Why::NodeGone)),
            None if pod_state::is_terminating(pod) => condemned.push((Arc::clone(pod), Why::NeverScheduled)),
            Some(_) | None => {}
        }
    }
    let mut finished: Vec<&Arc<Pod>> =
        pods.iter().filter(|pod| pod_state::is_finished(pod) && !pod_state::is_terminating(pod)).collect();
    let surplus = finished.len().saturating_sub(kept);
    finished.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
    condemned.extend(finished.into_iter().take(surplus).map(|pod| (Arc::clone(pod), Why::Finished)));
    condemned
}

/// The last status of a collected pod: one that had not ended has failed.
fn end_patch(pod: &Pod, why: Why) -> Value {
    let mut patch = match why {
        Why::NodeGone => disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists"),
        Why::NeverScheduled | Why::Finished => json!({"metadata": {"uid": pod.metadata.uid}, "status": {}}),
    };
    if why != Why::Finished && !pod_state::is_finished(pod) {
        patch["status"]["phase"] = json!("Failed");
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus};

    #[test]
    fn pods_that_nobody_ends_are_found() {
        let pod = |name: &str, node: Option<&str>, phase: &str| {
            let mut pod = Pod::default();
            pod.metadata.name = Some(name.into());
            pod.spec = Some(PodSpec { node_name: node.map(Into::into), ..PodSpec::default() });
            pod.status = Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() });
            pod
        };
        let mut deleted = pod("deleted", None, "Pending");
        deleted.metadata.deletion_timestamp = Some(crate::cluster::now());
        let pods: Vec<Arc<Pod>> = [
            pod("lost", Some("gone"), "Running"),
            deleted,
            pod("done", Some("n"), "Succeeded"),
            pod("new", None, "Pending"),
        ]
        .map(Arc::new)
        .into();
        let gone = HashSet::from(["gone".to_owned()]);
        let whys = |kept| condemned(&pods, &gone, kept).into_iter().map(|(_, why)| why).collect::<Vec<_>>();
        assert_eq!(whys(1), [Why::NodeGone, Why::NeverScheduled]);
        assert_eq!(whys(0), [Why::NodeGone, Why::NeverScheduled, Why::Finished]);
        assert_eq!(end_patch(&pods[0], Why::NodeGone)["status"]["phase"], "Failed");
    }
}
