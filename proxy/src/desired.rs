//! Objects → frontends and their backends, by kube-proxy's rules. From [`crate::watch`]; to [`crate::entries`]. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use skep_proxy_ebpf::maps::service::Algorithm;
use skep_proxy_ebpf::protocol::Protocol;

use crate::objects::{ObjectName, Service, Slice};

pub mod backend;
pub mod frontend;
pub mod topology;

pub use backend::Backend;
pub use frontend::{Frontend, FrontendKind, Scope};

/// Where this agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// This node's name.
    pub node: Arc<str>,
    /// This node's zone.
    pub zone: Option<Arc<str>>,
    /// Addresses on which node ports are served.
    pub addresses: Vec<IpAddr>,
}

/// One port of a Service, with everything that is to be served for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortTable {
    /// The Service.
    pub service: ObjectName,
    /// Its UID.
    pub uid: Arc<str>,
    /// The port's name.
    pub port_name: Arc<str>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// How a backend is chosen.
    pub algorithm: Algorithm,
    /// Seconds of session affinity.
    pub affinity_seconds: Option<u32>,
    /// What clients dial.
    pub frontends: Vec<Frontend>,
}

/// The tables of one Service. `slices` are those of this Service, of both families.
#[must_use]
pub fn tables(name: &ObjectName, service: &Service, slices: &[&Slice], place: &Place) -> Vec<ServicePortTable> {
    service
        .ports
        .iter()
        .map(|port| ServicePortTable {
            service: name.clone(),
            uid: Arc::clone(&service.uid),
            port_name: Arc::clone(&port.name),
            protocol: port.protocol,
            algorithm: service.algorithm,
            affinity_seconds: service.affinity_seconds,
            frontends: frontend::of_port(service, port, slices, place),
        })
        .collect()
}

#[cfg(test)]
mod tests;
