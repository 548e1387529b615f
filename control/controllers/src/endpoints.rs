//! Endpoints (the older form, one object per Service). From Services and pods; through [`subsets`] (pure) to Endpoints.

use crate::cluster::{Cluster, written};
use crate::endpoint_slice::queue_services_of_pod;
use crate::object_key::ObjectKey;
use crate::service_ports::{
    LAST_CHANGE, addresses, copied_labels, family, hostname, is_endpoint, publishes_not_ready, selector, target_port,
};
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::trigger_time::TriggerTimes;
use crate::work_queue::WorkQueue;
use crate::{pod_state, service_ports};
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DeleteParams;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Label with the manager.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// Annotation of Endpoints with more addresses than fit.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in Endpoints at most.
const CAPACITY: usize = 1000;
const WORKERS: usize = 5;

/// The controller.
pub struct EndpointsController {
    cluster: Arc<Cluster>,
    trigger_times: TriggerTimes,
}

impl EndpointsController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let informers = &cluster.informers;
        let to = Arc::clone(&queue);
        informers.services.on_change(move |change| {
            if let Some(service) = change.latest() {
                to.add(ObjectKey::of(&**service));
            }
        });
        let (to, of) = (Arc::clone(&queue), Arc::clone(cluster));
        informers.pods.on_change(move |change| queue_services_of_pod(&of, change, &|key| to.add(key)));
        let to = Arc::clone(&queue);
        informers.endpoints.on_change(move |change| {
            if let Some(endpoints) = change.latest() {
                to.add(ObjectKey::of(&**endpoints));
            }
        });
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), trigger_times: TriggerTimes::default() });
        tasks.spawn_workers(MANAGER, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let informers = &self.cluster.informers;
        let api = self.cluster.api::<Endpoints>(&key.namespace);
        let current = informers.endpoints.get(key);
        let Some(service) = informers.services.get(key) else {
            self.trigger_times.forget(key);
            let ours = |endpoints: &Arc<Endpoints>| {
                endpoints.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(MANAGED_BY))
            };
            if current.as_ref().is_some_and(ours) {
                ignore_missing(api.delete(&key.name, &DeleteParams::default()).await)?;
            }
            return Ok(());
        };
        let Some(selector) = selector(&service) else { return Ok(()) };
        let mut pods = informers.pods.in_namespace(&key.namespace);
        pods.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
        let changed_at = self.trigger_times.changed_at(key, &service, &pods);
        let mut desired = wanted(&service, &pods);
        if let Some(current) = &current {
            let same = current.subsets.clone().unwrap_or_default() == desired.subsets.clone().unwrap_or_default()
                && current.metadata.labels == desired.metadata.labels
                && over_capacity(current) == over_capacity(&desired);
            if same {
                return Ok(());
            }
            let mut annotations = current.metadata.annotations.clone().unwrap_or_default();
            annotations.remove(LAST_CHANGE);
            annotations.remove(OVER_CAPACITY);
            annotations.extend(desired.metadata.annotations.take().unwrap_or_default());
            desired.metadata = ObjectMeta {
                labels: desired.metadata.labels,
                annotations: Some(annotations),
                ..current.metadata.clone()
            };
        }
        if let Some(at) = changed_at {
            let annotations = desired.metadata.annotations.get_or_insert_default();
            annotations.insert(LAST_CHANGE.to_owned(), at.to_string());
        }
        if current.is_some() {
            api.replace(&key.name, &written(), &desired).await?;
        } else {
            api.create(&written(), &desired).await?;
        }
        Ok(())
    }
}

fn over_capacity(endpoints: &Endpoints) -> bool {
    endpoints.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(OVER_CAPACITY))
}

fn wanted(service: &Service, pods: &[Arc<Pod>]) -> Endpoints {
    let (subsets, truncated) = subsets(service, pods);
    let mut labels = copied_labels(service, &[]);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: truncated.then(|| [(OVER_CAPACITY.to_owned(), "truncated".to_owned())].into()),
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    }
}

/// Ports of a subset: name, number, protocol, application protocol.
type Ports = Vec<(Option<String>, i32, String, Option<String>)>;

/// The subsets for these pods, and whether some addresses were left out.
pub fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let Some(spec) = &service.spec else { return (Vec::new(), false) };
    let publish = publishes_not_ready(service);
    let wanted_family = spec.ip_families.iter().flatten().next().map_or("IPv4", String::as_str);
    let mut groups: BTreeMap<Ports, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_endpoint(pod, publish)) {
        let addresses = addresses(pod);
        let Some(ip) = addresses.iter().find(|address| family(address) == wanted_family) else { continue };
        let service_ports = spec.ports.as_deref().unwrap_or_default();
        let mut ports: Ports = service_ports
            .iter()
            .filter_map(|port| {
                let number = target_port(pod, port)?;
                let protocol = service_ports::protocol(port.protocol.as_deref()).to_owned();
                Some((port.name.clone().filter(|name| !name.is_empty()), number, protocol, port.app_protocol.clone()))
            })
            .collect();
        if ports.is_empty() && !service_ports.is_empty() {
            continue;
        }
        ports.sort();
        let address = EndpointAddress {
            ip: (*ip).to_owned(),
            node_name: pod_state::node_name(pod).map(str::to_owned),
            hostname: hostname(pod, service),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".to_owned()),
                namespace: pod.metadata.namespace.clone(),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
                ..ObjectReference::default()
            }),
        };
        let (ready, not_ready) = groups.entry(ports).or_default();
        if publish || pod_state::is_ready(pod) { ready.push(address) } else { not_ready.push(address) }
    }
    let mut room = CAPACITY;
    let mut truncated = false;
    let mut keep = |addresses: Vec<EndpointAddress>| -> Option<Vec<EndpointAddress>> {
        let mut addresses = addresses;
        addresses.sort_by(|a, b| a.ip.cmp(&b.ip));
        truncated |= addresses.len() > room;
        addresses.truncate(room);
        room -= addresses.len();
        (!addresses.is_empty()).then_some(addresses)
    };
    let mut kept: Vec<_> = groups.into_iter().map(|(ports, (ready, rest))| (ports, keep(ready), rest)).collect();
    let subsets = kept
        .drain(..)
        .map(|(ports, addresses, rest)| EndpointSubset {
            addresses,
            not_ready_addresses: keep(rest),
            ports: (!ports.is_empty()).then(|| {
                let port = |(name, port, protocol, app_protocol)| EndpointPort {
                    name,
                    port,
                    protocol: Some(protocol),
                    app_protocol,
                };
                ports.into_iter().map(port).collect()
            }),
        })
        .filter(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some())
        .collect();
    (subsets, truncated)
}
