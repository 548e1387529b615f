//! The endpoints that a Service should have, by address family and ports. From a Service and its pods; to
//! [`super::layout`]. Pure.

use crate::service_ports::{addresses, family, hostname, is_endpoint, protocol, publishes_not_ready, target_port};
use crate::{pod_state, service_ports};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The ports of a slice in a form that can be compared and ordered: name, protocol, number, application protocol.
pub type PortSet = Vec<(String, String, Option<i32>, Option<String>)>;

/// Desired endpoints per address family, then per set of ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// `IPv4` or `IPv6` → ports → endpoints.
    pub families: BTreeMap<String, BTreeMap<PortSet, Vec<Endpoint>>>,
}

impl Desired {
    /// What `service` should have, given the pods that its selector matches. `zone_of` knows each node and its zone.
    ///
    /// A pod on a node that is not known is left out; the node is named in the second result.
    pub fn of(
        service: &Service,
        pods: &[Arc<Pod>],
        zone_of: impl Fn(&str) -> Option<Option<String>>,
    ) -> (Self, Option<String>) {
        let mut desired = Self::default();
        let mut missing_node = None;
        let families = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
        for family in families {
            desired.families.insert(family, BTreeMap::new());
        }
        for pod in pods.iter().filter(|pod| is_endpoint(pod, true)) {
            let zone = match pod_state::node_name(pod) {
                None => None,
                Some(node) => match zone_of(node) {
                    Some(zone) => zone,
                    None if publishes_not_ready(service) => None,
                    None => {
                        missing_node = Some(node.to_owned());
                        continue;
                    }
                },
            };
            let ports = ports(service, pod);
            for (family_name, groups) in &mut desired.families {
                let addresses = addresses(pod);
                let mut of_family = addresses.iter().filter(|address| family(address) == family_name);
                if let Some(address) = of_family.next() {
                    groups.entry(ports.clone()).or_default().push(endpoint(service, pod, address, zone.clone()));
                }
            }
        }
        (desired, missing_node)
    }
}

fn ports(service: &Service, pod: &Pod) -> PortSet {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut set: PortSet = ports
        .filter_map(|port| {
            let number = target_port(pod, port)?;
            let protocol = protocol(port.protocol.as_deref()).to_owned();
            Some((port.name.clone().unwrap_or_default(), protocol, Some(number), port.app_protocol.clone()))
        })
        .collect();
    set.sort();
    set
}

/// The ports of a slice as a [`PortSet`].
pub fn port_set(ports: Option<&Vec<EndpointPort>>) -> PortSet {
    let mut set: PortSet = ports
        .into_iter()
        .flatten()
        .map(|port| {
            let protocol = protocol(port.protocol.as_deref()).to_owned();
            (port.name.clone().unwrap_or_default(), protocol, port.port, port.app_protocol.clone())
        })
        .collect();
    set.sort();
    set
}

/// A [`PortSet`] as the ports of a slice.
pub fn endpoint_ports(set: &PortSet) -> Vec<EndpointPort> {
    set.iter()
        .cloned()
        .map(|(name, protocol, port, app_protocol)| EndpointPort {
            name: Some(name),
            protocol: Some(protocol),
            port,
            app_protocol,
        })
        .collect()
}

fn endpoint(service: &Service, pod: &Pod, address: &str, zone: Option<String>) -> Endpoint {
    let serving = pod_state::is_ready(pod);
    let terminating = pod_state::is_terminating(pod);
    let ready = publishes_not_ready(service) || (serving && !terminating);
    let node_name = pod_state::node_name(pod).map(str::to_owned);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: hints(service, ready, node_name.as_deref(), zone.as_deref()),
        hostname: hostname(pod, service),
        node_name,
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        zone,
        ..Endpoint::default()
    }
}

/// Where traffic for this endpoint should come from, as `trafficDistribution` asks.
fn hints(service: &Service, ready: bool, node: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let wanted = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    let for_nodes = node.map(|node| vec![ForNode { name: node.to_owned() }]);
    let hints = match wanted {
        "PreferClose" | "PreferSameZone" => EndpointHints { for_zones, for_nodes: None },
        "PreferSameNode" => EndpointHints { for_zones, for_nodes },
        _ => return None,
    };
    (ready && (hints.for_zones.is_some() || hints.for_nodes.is_some())).then_some(hints)
}

/// Labels of the slices of a Service.
pub fn labels(service: &Service, manager: &str) -> BTreeMap<String, String> {
    let mut labels = service_ports::copied_labels(service, &[super::MANAGED_BY, super::SERVICE_NAME]);
    labels.insert(super::MANAGED_BY.to_owned(), manager.to_owned());
    labels.insert(super::SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels
}
