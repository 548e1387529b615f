//! What clients dial for one Service port, and whom they get. From [`super::topology`]; to [`crate::entries`]. Pure.

use std::net::IpAddr;

use super::{Backend, Place, backend, topology};
use crate::objects::{Service, ServicePort, ServiceType, Slice};

/// Why an address is a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendKind {
    /// `spec.clusterIPs`.
    ClusterIp,
    /// `spec.externalIPs`.
    ExternalIp,
    /// `status.loadBalancer.ingress`.
    LoadBalancer,
    /// A node's address with `spec.ports[].nodePort`.
    NodePort,
}

/// Whose traffic a frontend is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Pods and processes of this node.
    Cluster,
    /// Clients outside the cluster.
    External,
}

/// An address and port that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// Why it is one.
    pub kind: FrontendKind,
    /// Whose traffic.
    pub scope: Scope,
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Whom clients get; empty means a refusal.
    pub backends: Vec<Backend>,
    /// Without backends: silence instead of a refusal.
    pub drop_without_backends: bool,
    /// The client's address is replaced by the node's, so that answers come back this way.
    pub masquerade: bool,
}

pub(super) fn of_port(service: &Service, port: &ServicePort, slices: &[&Slice], place: &Place) -> Vec<Frontend> {
    let mut frontends = Vec::new();
    // A Service is served in the families it has ClusterIPs of.
    let has_family = |is_ipv4: &bool| service.cluster_ips.iter().any(|ip| ip.is_ipv4() == *is_ipv4);
    for is_ipv4 in [true, false].into_iter().filter(has_family) {
        let backends = backend::of_port(port, is_ipv4, slices, &place.node);
        let sets = topology::sets(&backends, place);
        let chosen = |is_local: bool| {
            let set = if is_local { &sets.local } else { &sets.cluster };
            set.iter().map(|backend| (*backend).clone()).collect::<Vec<_>>()
        };
        let family = |addresses: &[IpAddr]| {
            addresses.iter().copied().filter(|a| a.is_ipv4() == is_ipv4).collect::<Vec<IpAddr>>()
        };
        for address in family(&service.cluster_ips) {
            frontends.push(Frontend {
                kind: FrontendKind::ClusterIp,
                scope: Scope::Cluster,
                address,
                port: port.port,
                backends: chosen(service.internal_local),
                drop_without_backends: false,
                masquerade: false,
            });
        }
        for (kind, address, number) in external(service, port, &family, place) {
            // From inside the cluster every endpoint may be used: there is no hop whose source address could be lost.
            for scope in [Scope::Cluster, Scope::External] {
                let is_local = scope == Scope::External && service.external_local;
                let drop_without_backends = is_local && !sets.cluster.is_empty();
                frontends.push(Frontend {
                    kind,
                    scope,
                    address,
                    port: number,
                    backends: chosen(is_local),
                    drop_without_backends,
                    masquerade: scope == Scope::External && !service.external_local,
                });
            }
        }
    }
    frontends
}

fn external(
    service: &Service,
    port: &ServicePort,
    family: &impl Fn(&[IpAddr]) -> Vec<IpAddr>,
    place: &Place,
) -> Vec<(FrontendKind, IpAddr, u16)> {
    let on_port = |kind, addresses: Vec<IpAddr>, number| addresses.into_iter().map(move |a| (kind, a, number));
    let mut all: Vec<_> = on_port(FrontendKind::ExternalIp, family(&service.external_ips), port.port).collect();
    all.extend(on_port(FrontendKind::LoadBalancer, family(&service.load_balancer_ips), port.port));
    let has_node_ports = matches!(service.kind, ServiceType::NodePort | ServiceType::LoadBalancer);
    if let Some(node_port) = port.node_port.filter(|_| has_node_ports) {
        all.extend(on_port(FrontendKind::NodePort, family(&place.addresses), node_port));
    }
    all
}
