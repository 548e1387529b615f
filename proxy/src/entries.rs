//! Tables → elements of the maps, without generations. From [`crate::desired`]; to [`crate::reconcile`]. Pure.

use std::fmt;

use skep_proxy_ebpf::maps::backend::Backend as MapBackend;
use skep_proxy_ebpf::maps::backend_count::BackendCountKey;
use skep_proxy_ebpf::maps::service::{Algorithm, SCOPE_CLUSTER, SCOPE_EXTERNAL, ServiceKey, ServiceValue};

use crate::desired::{Frontend, FrontendKind, Scope, ServicePortTable};
use crate::ids;

/// What stands under a frontend's key: everything of a [`ServiceValue`] but its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Identity of the Service port; 0 in an address mark.
    pub service_id: u64,
    /// Flags of [`ServiceValue`].
    pub flags: u8,
    /// Seconds of session affinity; 0 is none.
    pub affinity_seconds: u32,
    /// How a backend is chosen.
    pub algorithm: Algorithm,
    /// By address and port.
    pub backends: Vec<MapBackend>,
}

impl Entry {
    /// Says that an address belongs to a Service, whatever its ports.
    const MARK: Self =
        Self { service_id: 0, flags: 0, affinity_seconds: 0, algorithm: Algorithm::Random, backends: Vec::new() };

    /// The element under `key`; backends that do not fit into it are written apart, under `generation`.
    #[must_use]
    pub fn value(&self, key: ServiceKey, generation: u64) -> ServiceValue {
        let value = ServiceValue::new(key, self.service_id, generation, &self.backends)
            .with_algorithm(self.algorithm)
            .with_flags(self.flags & !ServiceValue::AFFINITY);
        if self.affinity_seconds > 0 { value.with_affinity(self.affinity_seconds) } else { value }
    }

    /// What an element of the kernel says, with the backends it has or that were found apart.
    #[must_use]
    pub fn from_kernel(value: &ServiceValue, backends: Vec<MapBackend>) -> Self {
        Self {
            service_id: value.service_id(),
            flags: value.flags(),
            affinity_seconds: value.affinity_seconds(),
            algorithm: value.algorithm(),
            backends,
        }
    }

    /// The counters this entry needs: one per backend, and one for refusals.
    pub fn counters(&self) -> impl Iterator<Item = BackendCountKey> + '_ {
        let id = self.service_id;
        let refusals = (id != 0).then(|| BackendCountKey::refusals(id));
        refusals.into_iter().chain(self.backends.iter().map(move |backend| BackendCountKey::of(id, backend)))
    }
}

/// The elements of one Service: its frontends, and a mark for each of its ClusterIPs.
#[must_use]
pub fn of_service(tables: &[ServicePortTable]) -> Vec<(ServiceKey, Entry)> {
    let mut entries: Vec<(ServiceKey, Entry)> = Vec::new();
    let mut add = |key, entry| {
        // Two ports of a Service may not share number and protocol; should it happen, the first one stands.
        if entries.iter().all(|(existing, _)| *existing != key) {
            entries.push((key, entry));
        }
    };
    for table in tables {
        let id = ids::service_port(&table.service, &table.uid, &table.port_name, table.protocol);
        for frontend in &table.frontends {
            add(key_of(table, frontend), entry_of(table, frontend, id));
            if frontend.kind == FrontendKind::ClusterIp {
                add(ServiceKey::address_mark(frontend.address.into()), Entry::MARK);
            }
        }
    }
    entries
}

fn key_of(table: &ServicePortTable, frontend: &Frontend) -> ServiceKey {
    let scope = match frontend.scope {
        Scope::Cluster => SCOPE_CLUSTER,
        Scope::External => SCOPE_EXTERNAL,
    };
    ServiceKey::new(frontend.address.into(), frontend.port, table.protocol, scope)
}

fn entry_of(table: &ServicePortTable, frontend: &Frontend, service_id: u64) -> Entry {
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let backends = frontend.backends.iter().map(|backend| {
        MapBackend::new(backend.address.into(), backend.port, if backend.is_local { MapBackend::LOCAL } else { 0 })
    });
    Entry {
        service_id,
        flags: flag(frontend.drop_without_backends, ServiceValue::DROP_WITHOUT_BACKENDS)
            | flag(frontend.masquerade, ServiceValue::MASQUERADE)
            | flag(table.affinity_seconds.is_some(), ServiceValue::AFFINITY),
        affinity_seconds: table.affinity_seconds.unwrap_or(0),
        algorithm: table.algorithm,
        backends: backends.collect(),
    }
}

/// One line, as golden scripts and logs show it.
pub struct Line<'a>(pub &'a ServiceKey, pub &'a Entry);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, entry) = self;
        let Some(protocol) = key.protocol() else {
            return write!(f, "{} marked", key.address());
        };
        let scope = if key.scope() == SCOPE_EXTERNAL { " external" } else { "" };
        write!(f, "{} {}{scope}", std::net::SocketAddr::new(key.address().into(), key.port()), protocol.name())?;
        match entry.algorithm {
            Algorithm::Random => {}
            Algorithm::RoundRobin => write!(f, " round-robin")?,
        }
        if entry.affinity_seconds > 0 {
            write!(f, " affinity={}s", entry.affinity_seconds)?;
        }
        if entry.flags & ServiceValue::DROP_WITHOUT_BACKENDS != 0 {
            write!(f, " silent")?;
        }
        if entry.flags & ServiceValue::MASQUERADE != 0 {
            write!(f, " masquerade")?;
        }
        write!(f, " ->")?;
        for backend in &entry.backends {
            let local = if backend.flags() & MapBackend::LOCAL != 0 { "*" } else { "" };
            write!(f, " {}{local}", std::net::SocketAddr::new(backend.address().into(), backend.port()))?;
        }
        if entry.backends.is_empty() { write!(f, " nobody") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
