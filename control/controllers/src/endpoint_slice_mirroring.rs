//! EndpointSlices for Endpoints that users write themselves (Services without selector). From Endpoints; to slices.

use crate::cluster::{Cluster, written};
use crate::endpoint_slice::desired::{Desired, PortSet};
use crate::endpoint_slice::layout::{Template, arrange};
use crate::endpoint_slice::tracker::Tracker;
use crate::endpoint_slice::{MANAGED_BY, SERVICE_NAME};
use crate::object_key::ObjectKey;
use crate::owners::controller_reference;
use crate::service_ports::{self, LAST_CHANGE, family};
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use kube::api::DeleteParams;
use std::collections::BTreeMap;
use std::sync::Arc;

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const NAME: &str = "endpoint-slice-mirroring-controller";
/// Label that turns mirroring off.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of Endpoints that are no endpoints but a lock.
const LOCK: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotation that makes no sense on slices.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Addresses of a subset that are mirrored.
const MIRRORED: usize = 1000;

/// The controller.
pub struct EndpointSliceMirroring {
    cluster: Arc<Cluster>,
    tracker: Tracker,
}

impl EndpointSliceMirroring {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), tracker: Tracker::default() });
        let informers = &cluster.informers;
        let to = Arc::clone(&queue);
        informers.endpoints.on_change(move |change| {
            if let Some(endpoints) = change.latest() {
                to.add(ObjectKey::of(&**endpoints));
            }
        });
        let to = Arc::clone(&queue);
        informers.services.on_change(move |change| {
            if let Some(service) = change.latest() {
                to.add(ObjectKey::of(&**service));
            }
        });
        let (to, this) = (Arc::clone(&queue), Arc::clone(&controller));
        informers.endpoint_slices.on_change(move |change| {
            let Some(slice) = change.latest().filter(|slice| is_ours(slice)) else { return };
            let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
            let namespace = slice.metadata.namespace.clone().unwrap_or_default();
            let key = ObjectKey::new(namespace, service.cloned().unwrap_or_default());
            if change.new.is_none() {
                this.tracker.gone(&key, slice);
            }
            to.add(key);
        });
        tasks.spawn_workers(NAME, 2, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let informers = &self.cluster.informers;
        let mut slices = informers.endpoint_slices.indexed(&key.to_string());
        slices.retain(|slice| is_ours(slice));
        if self.tracker.is_cache_behind(key, &slices) {
            return Ok(());
        }
        let api = self.cluster.api::<EndpointSlice>(&key.namespace);
        let endpoints = informers.endpoints.get(key).filter(|endpoints| is_mirrored(endpoints));
        let service = informers.services.get(key).filter(|service| service_ports::selector(service).is_none());
        let (Some(endpoints), Some(service)) = (endpoints, service) else {
            for slice in slices {
                let name = slice.metadata.name.as_deref().unwrap_or_default();
                ignore_missing(api.delete(name, &DeleteParams::default()).await)?;
                self.tracker.deleted(key, &slice);
            }
            return Ok(());
        };
        let annotations = annotations(&endpoints);
        let template = Template {
            namespace: Some(key.namespace.clone()),
            service_name: &key.name,
            labels: labels(&endpoints, &service),
            annotations: &annotations,
            owner: controller_reference(&*endpoints),
        };
        let layout = arrange(&desired(&endpoints), &template, &slices, false);
        for slice in layout.create {
            self.tracker.wrote(key, &api.create(&written(), &slice).await?);
        }
        for slice in layout.update {
            let name = slice.metadata.name.clone().unwrap_or_default();
            self.tracker.wrote(key, &api.replace(&name, &written(), &slice).await?);
        }
        for slice in layout.delete {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            ignore_missing(api.delete(name, &DeleteParams::default()).await)?;
            self.tracker.deleted(key, &slice);
        }
        Ok(())
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER)
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let annotations = endpoints.metadata.annotations.as_ref();
    endpoints.metadata.deletion_timestamp.is_none()
        && labels.and_then(|labels| labels.get(SKIP)).is_none_or(|skip| skip != "true")
        && annotations.is_none_or(|annotations| !annotations.contains_key(LOCK))
}

fn labels(endpoints: &Endpoints, service: &Service) -> BTreeMap<String, String> {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels
}

fn annotations(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| key != LAST_CHANGE && key != LAST_APPLIED);
    annotations
}

fn desired(endpoints: &Endpoints) -> Desired {
    let mut desired = Desired::default();
    for subset in endpoints.subsets.iter().flatten() {
        let mut ports: PortSet = subset
            .ports
            .iter()
            .flatten()
            .map(|port| {
                let protocol = service_ports::protocol(port.protocol.as_deref()).to_owned();
                (port.name.clone().unwrap_or_default(), protocol, Some(port.port), port.app_protocol.clone())
            })
            .collect();
        ports.sort();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(not_ready).take(MIRRORED) {
            let family = desired.families.entry(family(&address.ip).to_owned()).or_default();
            family.entry(ports.clone()).or_default().push(endpoint(address, ready));
        }
    }
    desired
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}
