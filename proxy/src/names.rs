//! Names for what the maps hold as numbers: Services by identity, pods by address. From [`crate::agent`], into a file
//! beside the pins; to [`crate::view`], also while the agent is dead.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skep_proxy_ebpf::pins::PinDirectory;

use crate::ids;
use crate::objects::{Conditions, ObjectName, Service};
use crate::watch::Objects;

/// Where the files lie: gone after a restart of the machine, as the pins are.
pub const DEFAULT_DIRECTORY: &str = "/run/skep/view";
/// Raised when the meaning of a field changes.
const VERSION: u32 = 1;

/// The file of a pin directory.
#[must_use]
pub fn path(directory: &Path, pins: &PinDirectory) -> PathBuf {
    let name = pins.root().to_string_lossy().trim_matches('/').replace('/', "-");
    directory.join(format!("{name}.json"))
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    pub(crate) version: u32,
    /// The node whose maps these names are for.
    pub node: String,
    /// Service ports by identity.
    pub services: Vec<ServicePortNames>,
    /// Endpoints by address.
    pub endpoints: BTreeMap<IpAddr, EndpointNames>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePortNames {
    /// As in the maps.
    pub id: u64,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Name of the port; may be empty.
    pub port_name: String,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// `spec.type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Every endpoint the API names, whether it is chosen or not.
    pub endpoints: Vec<(SocketAddr, State)>,
}

/// An endpoint's conditions as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Takes new connections.
    Ready,
    /// On its way out, still answering.
    Terminating,
    /// On its way out, or never ready: not answering.
    Unready,
}

impl From<Conditions> for State {
    fn from(conditions: Conditions) -> Self {
        match conditions {
            Conditions { ready: true, .. } => Self::Ready,
            Conditions { serving: true, terminating: true, .. } => Self::Terminating,
            Conditions { .. } => Self::Unready,
        }
    }
}

/// Who has an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointNames {
    /// `namespace/name`; empty when it is no pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// Its node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

impl Names {
    /// The names of everything known.
    #[must_use]
    pub fn of(objects: &Objects, node: &str) -> Self {
        let mut names = Self { version: VERSION, node: node.to_owned(), ..Self::default() };
        for (name, service) in objects.services() {
            names.add(objects, name, service);
        }
        names
    }

    fn add(&mut self, objects: &Objects, name: &ObjectName, service: &Service) {
        let slices = objects.slices_of(name);
        for endpoint in slices.iter().flat_map(|slice| &slice.endpoints) {
            let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
            self.endpoints.entry(endpoint.address).or_insert_with(|| EndpointNames {
                pod: endpoint.pod.as_ref().map(ObjectName::to_string).unwrap_or_default(),
                node: text(&endpoint.node),
                zone: text(&endpoint.zone),
            });
        }
        for port in &service.ports {
            let mut endpoints: BTreeMap<SocketAddr, State> = BTreeMap::new();
            for slice in &slices {
                let same = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
                for (target, endpoint) in same.flat_map(|p| slice.endpoints.iter().map(move |e| (p.port, e))) {
                    let state = State::from(endpoint.conditions);
                    let address = SocketAddr::new(endpoint.address, target);
                    endpoints.entry(address).and_modify(|held| *held = state.min(*held)).or_insert(state);
                }
            }
            self.services.push(ServicePortNames {
                id: ids::service_port(name, &service.uid, &port.name, port.protocol),
                namespace: name.namespace.to_string(),
                name: name.name.to_string(),
                port_name: port.name.to_string(),
                protocol: port.protocol.name().to_owned(),
                kind: service.kind.name().to_owned(),
                internal_local: service.internal_local,
                external_local: service.external_local,
                endpoints: endpoints.into_iter().collect(),
            });
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let beside = path.with_extension("new");
        let mut file = BufWriter::new(File::create(&beside)?);
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        fs::rename(&beside, path)
    }

    /// Reads the file; empty names when there is none, so that a view shows at least numbers.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        let names: Self = serde_json::from_slice(&text)?;
        if names.version == VERSION {
            return Ok(names);
        }
        let text = format!("{} is of version {}, not {VERSION}", path.display(), names.version);
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}
