//! Slices → the endpoints of one Service port and family. From [`crate::objects`]; to [`super::topology`]. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::objects::{Conditions, Endpoint, ServicePort, Slice};

/// An endpoint with the port it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Whether it takes connections.
    pub conditions: Conditions,
    /// Whether it is on this node.
    pub is_local: bool,
    /// Zones it is meant for.
    pub zone_hints: Vec<Arc<str>>,
    /// Nodes it is meant for.
    pub node_hints: Vec<Arc<str>>,
}

/// The endpoints of `port` in one family, by address and port. The same endpoint may stand in two slices while it
/// moves, and two pods of the host network may share an address: the better one counts.
#[must_use]
pub fn of_port(port: &ServicePort, is_ipv4: bool, slices: &[&Slice], node: &str) -> Vec<Backend> {
    let mut found: BTreeMap<(IpAddr, u16), Backend> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.is_ipv4 == is_ipv4) {
        let same = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
        for (target, endpoint) in same.flat_map(|p| slice.endpoints.iter().map(move |endpoint| (p.port, endpoint))) {
            let backend = backend(endpoint, target, node);
            let slot = found.entry((endpoint.address, target));
            slot.and_modify(|held| {
                if rank(&backend) > rank(held) {
                    *held = backend.clone();
                }
            })
            .or_insert(backend);
        }
    }
    found.into_values().collect()
}

fn backend(endpoint: &Endpoint, port: u16, node: &str) -> Backend {
    Backend {
        address: endpoint.address,
        port,
        conditions: endpoint.conditions,
        is_local: endpoint.node.as_deref() == Some(node),
        zone_hints: endpoint.zone_hints.clone(),
        node_hints: endpoint.node_hints.clone(),
    }
}

/// Total, so that the order in which slices arrive does not matter.
fn rank(backend: &Backend) -> ([bool; 4], [&[Arc<str>]; 2]) {
    let Conditions { ready, serving, terminating } = backend.conditions;
    ([ready, serving, !terminating, backend.is_local], [&backend.zone_hints, &backend.node_hints])
}
