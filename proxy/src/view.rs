//! What the kernel does with every Service, by name. From the pinned maps and the file of [`crate::names`], so also
//! while the agent is dead; to `skep svc`. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use skep_proxy_ebpf::maps::backend::{Backend, ChunkKey, ChunkValue};
use skep_proxy_ebpf::maps::backend_count::{BackendCount, BackendCountKey};
use skep_proxy_ebpf::maps::service::{Algorithm, SCOPE_EXTERNAL, ServiceKey, ServiceValue};
use skep_proxy_ebpf::pins::PinDirectory;

use crate::datapath::typed_maps::{MapError, TypedMaps};
use crate::names::{self, Names, ServicePortNames, State};
use crate::reconcile::audit;

pub mod instance;
pub mod table;

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A map could not be read.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The file of names could not be read.
    #[error("read {}", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is no such node here, or no agent ever ran.
    #[error("{0}")]
    NoInstance(String),
    /// There is no such Service in the kernel.
    #[error("the kernel of node {node} has no Service {namespace}/{name}")]
    NoService {
        /// The node.
        node: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

/// One node's Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The node.
    pub node: String,
    /// By namespace and name.
    pub services: Vec<ServicePortView>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePortView {
    /// Namespace; empty when the name is not known.
    pub namespace: String,
    /// Name, or the identity in hexadecimal when the name is not known.
    pub name: String,
    /// Name of the port.
    pub port_name: String,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// `spec.type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How a backend is chosen.
    pub algorithm: &'static str,
    /// Seconds of session affinity; 0 is none.
    pub affinity_seconds: u32,
    /// `Cluster` or `Local`.
    pub internal_traffic_policy: &'static str,
    /// `Cluster` or `Local`.
    pub external_traffic_policy: &'static str,
    /// What clients dial.
    pub frontends: Vec<FrontendView>,
    /// Who answers, or did.
    pub backends: Vec<BackendView>,
    /// Connections that live.
    pub live: u64,
    /// Connections there ever were.
    pub opened: u64,
    /// Connections refused because there was nobody.
    pub refused: u64,
}

/// One frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendView {
    /// Address and port.
    pub address: SocketAddr,
    /// `cluster` or `external`.
    pub scope: &'static str,
    /// How many backends it has.
    pub backends: u32,
    /// Version of this frontend in the kernel.
    pub generation: u64,
}

/// What a backend is to new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Gets new connections.
    Active,
    /// Gets new connections although it is on its way out: there is nobody better.
    Terminating,
    /// Gets none, but old ones live.
    Draining,
    /// Ready, but not for clients of this node: a policy or a hint.
    Excluded,
    /// Not ready.
    Unready,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendView {
    /// Address and port.
    pub address: SocketAddr,
    /// What it is to new connections.
    pub state: BackendState,
    /// `namespace/name`; empty when it is no pod or not known.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// Its zone.
    pub zone: String,
    /// Connections that live.
    pub live: u64,
    /// Connections there ever were.
    pub opened: u64,
}

/// What the maps hold, without the marks of addresses.
struct Dumped {
    services: Vec<(ServiceKey, ServiceValue)>,
    chunks: HashMap<ChunkKey, ChunkValue>,
    counts: Vec<(BackendCountKey, BackendCount)>,
}

impl Dumped {
    fn read(maps: &TypedMaps) -> Result<Self, MapError> {
        let mut services = Vec::new();
        maps.services.visit(|key, value| {
            if !key.is_address_mark() {
                services.push((key, value));
            }
        })?;
        let has_chunks = services.iter().any(|(_, value): &(_, ServiceValue)| value.is_chunked());
        let chunks = if has_chunks { maps.chunks.dump()?.into_iter().collect() } else { HashMap::new() };
        Ok(Self { services, chunks, counts: maps.backend_counts.dump()? })
    }
}

impl View {
    /// Reads one node's maps and names.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn read(pins: &PinDirectory, view_dir: &Path) -> Result<Self, ViewError> {
        let maps = TypedMaps::open_read_only(pins)?;
        let path = names::path(view_dir, pins);
        // The file of a large cluster takes as long as its maps: read side by side.
        let (names, dumped) = std::thread::scope(|scope| {
            let names = scope.spawn(|| Names::read(&path));
            let dumped = Dumped::read(&maps);
            (names.join(), dumped)
        });
        let names = names.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let names = names.map_err(|source| ViewError::Names { path, source })?;
        Ok(Self::of(dumped?, &names))
    }

    /// Only the ports of one Service.
    ///
    /// # Errors
    /// [`ViewError::NoService`].
    pub fn only(mut self, namespace: &str, name: &str) -> Result<Self, ViewError> {
        self.services.retain(|service| service.namespace == namespace && service.name == name);
        if self.services.is_empty() {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            return Err(ViewError::NoService { node: self.node, namespace, name });
        }
        Ok(self)
    }

    /// Only the Services of one namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.services.retain(|service| service.namespace == namespace);
        self
    }

    fn of(dumped: Dumped, names: &Names) -> Self {
        let Dumped { services: mut frontends, chunks, mut counts } = dumped;
        counts.sort_unstable_by_key(|(key, _)| *key);
        frontends.sort_unstable_by_key(|(key, value)| (value.service_id(), *key));
        let by_id: HashMap<u64, &ServicePortNames> = names.services.iter().map(|port| (port.id, port)).collect();
        let mut services: Vec<ServicePortView> = frontends
            .chunk_by(|(_, one), (_, next)| one.service_id() == next.service_id())
            .filter_map(|frontends| {
                let id = frontends.first()?.1.service_id();
                let from = counts.partition_point(|(key, _)| key.service_id() < id);
                let counts = counts.get(from..).unwrap_or_default();
                let counts =
                    counts.get(..counts.partition_point(|(key, _)| key.service_id() == id)).unwrap_or_default();
                let backends = backends(frontends, &chunks, by_id.get(&id).copied(), counts, names);
                Some(port(id, frontends, by_id.get(&id).copied(), counts, backends))
            })
            .collect();
        services.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
        Self { node: names.node.clone(), services }
    }
}

impl ServicePortView {
    fn order(&self) -> [&str; 4] {
        [&self.namespace, &self.name, &self.port_name, &self.protocol]
    }
}

fn port(
    id: u64,
    frontends: &[(ServiceKey, ServiceValue)],
    names: Option<&ServicePortNames>,
    counts: &[(BackendCountKey, BackendCount)],
    backends: Vec<BackendView>,
) -> ServicePortView {
    let text = |read: fn(&ServicePortNames) -> &String| names.map(read).cloned().unwrap_or_default();
    let policy = |is_local: Option<bool>| if is_local == Some(true) { "Local" } else { "Cluster" };
    let first = frontends.first();
    let protocol = first.and_then(|(key, _)| key.protocol()).map(|protocol| protocol.name().to_owned());
    let refused = counts.iter().find(|(key, _)| key.port() == 0 && key.address().is_unspecified());
    let mut shown: Vec<FrontendView> = frontends.iter().map(|(key, value)| frontend(key, value)).collect();
    shown.sort_by_key(|frontend| (frontend.address, frontend.scope));
    ServicePortView {
        namespace: text(|names| &names.namespace),
        name: names.map_or_else(|| format!("{id:016x}"), |names| names.name.clone()),
        port_name: text(|names| &names.port_name),
        protocol: protocol.unwrap_or_default(),
        kind: text(|names| &names.kind),
        algorithm: match first.map_or(Algorithm::Random, |(_, value)| value.algorithm()) {
            Algorithm::Random => "random",
            Algorithm::RoundRobin => "round-robin",
        },
        affinity_seconds: first.map_or(0, |(_, value)| value.affinity_seconds()),
        internal_traffic_policy: policy(names.map(|names| names.internal_local)),
        external_traffic_policy: policy(names.map(|names| names.external_local)),
        frontends: shown,
        live: backends.iter().map(|backend| backend.live).sum(),
        opened: backends.iter().map(|backend| backend.opened).sum(),
        refused: refused.map_or(0, |(_, count)| count.opened),
        backends,
    }
}

fn frontend(key: &ServiceKey, value: &ServiceValue) -> FrontendView {
    FrontendView {
        address: SocketAddr::new(key.address().into(), key.port()),
        scope: if key.scope() == SCOPE_EXTERNAL { "external" } else { "cluster" },
        backends: value.count(),
        generation: value.generation(),
    }
}

/// Everybody the kernel chooses, the API names, or a connection still lives to.
fn backends(
    frontends: &[(ServiceKey, ServiceValue)],
    chunks: &HashMap<ChunkKey, ChunkValue>,
    port: Option<&ServicePortNames>,
    counts: &[(BackendCountKey, BackendCount)],
    names: &Names,
) -> Vec<BackendView> {
    let address = |backend: &Backend| SocketAddr::new(backend.address().into(), backend.port());
    let chosen: BTreeSet<SocketAddr> = frontends
        .iter()
        .filter_map(|(_, value)| audit::backends(value, |key| chunks.get(key).copied()))
        .flat_map(|backends| backends.iter().map(address).collect::<Vec<_>>())
        .collect();
    let known: BTreeMap<SocketAddr, State> = port.iter().flat_map(|port| port.endpoints.iter().copied()).collect();
    let counted: BTreeMap<SocketAddr, &BackendCount> = counts
        .iter()
        .filter(|(key, _)| !key.address().is_unspecified())
        .map(|(key, count)| (SocketAddr::new(key.address().into(), key.port()), count))
        .collect();
    let all: BTreeSet<SocketAddr> = chosen.iter().chain(known.keys()).chain(counted.keys()).copied().collect();
    let views = all.into_iter().filter_map(|address| {
        let count = counted.get(&address).copied().copied().unwrap_or_default();
        let state = match (chosen.contains(&address), known.get(&address)) {
            (true, Some(State::Terminating)) => BackendState::Terminating,
            (true, _) => BackendState::Active,
            (false, _) if count.live() > 0 => BackendState::Draining,
            (false, Some(State::Ready)) => BackendState::Excluded,
            (false, Some(State::Terminating | State::Unready)) => BackendState::Unready,
            // A counter of somebody who is gone, which the agent will remove.
            (false, None) => return None,
        };
        let names = names.endpoints.get(&address.ip()).cloned().unwrap_or_default();
        let (live, opened) = (count.live(), count.opened);
        Some(BackendView { address, state, pod: names.pod, node: names.node, zone: names.zone, live, opened })
    });
    views.collect()
}

#[cfg(test)]
mod tests;
