//! Gives each node its ranges of pod addresses. From nodes and the cluster's ranges; through [`pool`] (pure) to
//! `spec.podCIDRs`.

use crate::cluster::{Cluster, patched};
use crate::config::{Cidr, Config};
use crate::object_key::ObjectKey;
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::Node;
use kube::api::Patch;
use parking_lot::Mutex;
use pool::Pool;
use serde_json::json;
use std::sync::Arc;

pub mod pool;

const NAME: &str = "cidrAllocator";

/// The controller.
pub struct NodeIpam {
    cluster: Arc<Cluster>,
    pools: Mutex<Vec<Pool>>,
}

impl NodeIpam {
    /// Registers handlers and starts the worker.
    pub fn start(config: &Config, cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let mask = |cidr: &Cidr| if cidr.address.is_ipv4() { config.node_mask_ipv4 } else { config.node_mask_ipv6 };
        let pools = config.cluster_cidrs.iter().map(|cidr| Pool::new(*cidr, mask(cidr))).collect();
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), pools: Mutex::new(pools) });
        let queue = WorkQueue::new();
        let (this, to) = (Arc::clone(&controller), Arc::clone(&queue));
        cluster.informers.nodes.on_change(move |change| {
            match (change.old, change.new) {
                (Some(old), None) => this.release(old),
                (None, Some(new)) => this.occupy(new),
                (Some(_) | None, _) => {}
            }
            if let Some(node) = change.new {
                to.add(ObjectKey::of(&**node));
            }
        });
        // One worker: ranges are given in order.
        tasks.spawn_workers(NAME, 1, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn occupy(&self, node: &Node) {
        let mut pools = self.pools.lock();
        for range in ranges(node) {
            pools.iter_mut().for_each(|pool| pool.occupy(&range));
        }
    }

    fn release(&self, node: &Node) {
        let mut pools = self.pools.lock();
        for range in ranges(node) {
            pools.iter_mut().for_each(|pool| pool.release(&range));
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(node) = self.cluster.informers.nodes.get(key) else { return Ok(()) };
        if !ranges(&node).is_empty() {
            self.occupy(&node);
            return Ok(());
        }
        let given: Vec<Cidr> = {
            let mut pools = self.pools.lock();
            let given: Vec<Option<Cidr>> = pools.iter_mut().map(Pool::give).collect();
            if given.iter().any(Option::is_none) {
                for range in given.iter().flatten() {
                    pools.iter_mut().for_each(|pool| pool.release(range));
                }
            }
            given.into_iter().collect::<Option<Vec<Cidr>>>().unwrap_or_default()
        };
        if given.is_empty() {
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            self.cluster.recorder.normal(NAME, &*node, "CIDRNotAvailable", message);
            return Err(SyncError::NotYet(
                "no range of pod addresses is left: the cluster's range is too small".to_owned(),
            ));
        }
        let texts: Vec<String> = given.iter().map(ToString::to_string).collect();
        // With the version: the cache may not show yet that the node has ranges, and it must not get others.
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"podCIDR": texts.first(), "podCIDRs": texts},
        });
        let api = self.cluster.cluster_api::<Node>();
        let outcome = api.patch(&key.name, &patched(), &Patch::Merge(patch)).await;
        match ignore_missing(outcome) {
            Ok(Some(_)) => Ok(()),
            other => {
                let mut pools = self.pools.lock();
                for range in &given {
                    pools.iter_mut().for_each(|pool| pool.release(range));
                }
                other.map(drop).map_err(SyncError::from)
            }
        }
    }
}

/// The ranges that a node has.
fn ranges(node: &Node) -> Vec<Cidr> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let mut texts: Vec<&String> = spec.pod_cidrs.iter().flatten().collect();
    if texts.is_empty() {
        texts.extend(spec.pod_cidr.as_ref().filter(|cidr| !cidr.is_empty()));
    }
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}
