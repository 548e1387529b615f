//! EndpointSlices of Services with a selector. From Services, pods and nodes; through [`desired`] and [`layout`]
//! (pure) to slices of at most 100 endpoints.

use crate::cluster::{Cluster, written};
use crate::informer::Change;
use crate::object_key::ObjectKey;
use crate::service_ports::{self, LAST_CHANGE};
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::trigger_time::TriggerTimes;
use crate::work_queue::WorkQueue;
use desired::Desired;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DeleteParams;
use layout::Layout;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracker::Tracker;

pub mod desired;
pub mod layout;
pub mod tracker;

/// Who manages the slices, as their label says.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Label with the manager.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Label with the Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label of nodes with their zone.
const ZONE: &str = "topology.kubernetes.io/zone";
const NAME: &str = "endpoint-slice-controller";
const WORKERS: usize = 5;

/// The controller.
pub struct EndpointSliceController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
    tracker: Tracker,
    trigger_times: TriggerTimes,
}

impl EndpointSliceController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            queue: WorkQueue::new(),
            tracker: Tracker::default(),
            trigger_times: TriggerTimes::default(),
        });
        let informers = &cluster.informers;
        let this = Arc::clone(&controller);
        informers.services.on_change(move |change| {
            if let Some(service) = change.latest() {
                this.queue.add(ObjectKey::of(&**service));
            }
        });
        let this = Arc::clone(&controller);
        informers.pods.on_change(move |change| {
            queue_services_of_pod(&this.cluster, change, &|key| this.queue.add(key));
        });
        let this = Arc::clone(&controller);
        informers.nodes.on_change(move |change| this.node_changed(change));
        let this = Arc::clone(&controller);
        informers.endpoint_slices.on_change(move |change| this.slice_changed(change));
        let queue = Arc::clone(&controller.queue);
        tasks.spawn_workers(NAME, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn node_changed(&self, change: &Change<'_, Node>) {
        let zone = |node: &Node| node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE).cloned());
        if let (Some(old), Some(new)) = (change.old, change.new)
            && zone(old) == zone(new)
        {
            return;
        }
        for key in self.cluster.informers.services.keys() {
            self.queue.add(key);
        }
    }

    fn slice_changed(&self, change: &Change<'_, EndpointSlice>) {
        let Some(slice) = change.latest() else { return };
        let labels = slice.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(MANAGED_BY)).is_none_or(|manager| manager != MANAGER) {
            return;
        }
        let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)) else { return };
        let key = ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), service.clone());
        if change.new.is_none() {
            self.tracker.gone(&key, slice);
        }
        self.queue.add(key);
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let informers = &self.cluster.informers;
        let Some(service) = informers.services.get(key) else {
            // The slices go with their owner, by the garbage collector.
            self.tracker.forget(key);
            self.trigger_times.forget(key);
            return Ok(());
        };
        let Some(selector) = service_ports::selector(&service) else { return Ok(()) };
        if service.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let slices: Vec<Arc<EndpointSlice>> = informers
            .endpoint_slices
            .indexed(&key.to_string())
            .into_iter()
            .filter(|slice| {
                slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER)
            })
            .collect();
        if self.tracker.is_cache_behind(key, &slices) {
            // The event that we wait for queues the service again.
            return Ok(());
        }
        let mut pods = informers.pods.in_namespace(&key.namespace);
        pods.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
        let (desired, missing_node) = Desired::of(&service, &pods, |name| {
            informers
                .nodes
                .get(&ObjectKey::cluster(name))
                .map(|node| node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE).cloned()))
        });
        let changed_at = self.trigger_times.changed_at(key, &service, &pods);
        let annotations: BTreeMap<String, String> =
            changed_at.map(|at| (LAST_CHANGE.to_owned(), at.to_string())).into_iter().collect();
        let layout = layout::plan(&desired, &service, &slices, &annotations);
        self.apply(key, layout).await?;
        match missing_node {
            Some(node) => Err(SyncError::NotYet(format!("node {node} of a pod is not known"))),
            None => Ok(()),
        }
    }

    async fn apply(&self, key: &ObjectKey, layout: Layout) -> Result<(), SyncError> {
        let api = self.cluster.api::<EndpointSlice>(&key.namespace);
        for slice in layout.create {
            let created = api.create(&written(), &slice).await?;
            self.tracker.wrote(key, &created);
        }
        for slice in layout.update {
            let name = slice.metadata.name.clone().unwrap_or_default();
            let updated = api.replace(&name, &written(), &slice).await?;
            self.tracker.wrote(key, &updated);
        }
        for slice in layout.delete {
            let name = slice.metadata.name.clone().unwrap_or_default();
            ignore_missing(api.delete(&name, &DeleteParams::default()).await)?;
            self.tracker.deleted(key, &slice);
        }
        Ok(())
    }
}

/// Calls `queue` with each Service that selects the pod, before or after the change.
pub fn queue_services_of_pod(cluster: &Cluster, change: &Change<'_, Pod>, queue: &dyn Fn(ObjectKey)) {
    if let (Some(old), Some(new)) = (change.old, change.new)
        && !service_ports::is_relevant_change(old, new)
    {
        return;
    }
    let Some(pod) = change.latest() else { return };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for service in cluster.informers.services.in_namespace(namespace) {
        let Some(selector) = service_ports::selector(&service) else { continue };
        let matches = |pod: &&Arc<Pod>| selector.matches(pod.metadata.labels.as_ref());
        if [change.old, change.new].iter().flatten().any(matches) {
            queue(ObjectKey::of::<Service>(&service));
        }
    }
}
