//! What the datapath knows of a pod: its entry in `PODS`, and the programs on the node's end of its veth. From
//! [`crate::add`], [`crate::del`], [`crate::gc`] and [`crate::check`]; to what is pinned in bpffs.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, Map, MapData, MapError};
use aya::programs::links::FdLink;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use skep_proxy_ebpf::maps::pod::{self, PodKey, PodValue};
use skep_proxy_ebpf::maps::policy_namespace::{self, PolicyNamespaceKey};
use skep_proxy_ebpf::pins::{Direction, PinDirectory};

/// Why the datapath cannot be told of a pod.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodMapError {
    #[error("{} is not pinned: the agent has not set up this node yet", path.display())]
    NotPinned { path: PathBuf },
    #[error("map {}", path.display())]
    Map { path: PathBuf, source: MapError },
    #[error("program {}", path.display())]
    Program { path: PathBuf, source: ProgramError },
    #[error("link {}", path.display())]
    Link { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Both directions of a pod, the one that keeps others out first.
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// The map, and the directory of everything pinned.
pub(crate) struct PodMap {
    pins: PinDirectory,
    path: PathBuf,
    map: HashMap<MapData, PodKey, PodValue>,
}

impl PodMap {
    /// Opens what is pinned.
    pub(crate) fn open(directory: &Path) -> Result<Self, PodMapError> {
        let pins = PinDirectory::new(directory);
        let path = pins.map(pod::NAME);
        if !path.exists() {
            return Err(PodMapError::NotPinned { path });
        }
        let wrong = |source| PodMapError::Map { path: path.clone(), source };
        let map = MapData::from_pin(&path).and_then(Map::from_map_data).map_err(wrong)?;
        let map = HashMap::try_from(map).map_err(wrong)?;
        Ok(Self { pins, path, map })
    }

    /// Like [`Self::open`]; `None` when nothing is pinned, so nothing can be left behind there.
    pub(crate) fn open_if_pinned(directory: &Path) -> Result<Option<Self>, PodMapError> {
        match Self::open(directory) {
            Err(PodMapError::NotPinned { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Fails unless the programs for pods are pinned, too.
    pub(crate) fn check_programs(&self) -> Result<(), PodMapError> {
        let missing = DIRECTIONS.map(|d| self.pins.program(d.program())).into_iter().find(|path| !path.exists());
        missing.map_or(Ok(()), |path| Err(PodMapError::NotPinned { path }))
    }

    /// Puts the programs on the device and pins their links: they stay when this process ends.
    pub(crate) fn attach(&self, device: &str, ifindex: u32) -> Result<(), PodMapError> {
        for direction in DIRECTIONS {
            let program_path = self.pins.program(direction.program());
            if !program_path.exists() {
                return Err(PodMapError::NotPinned { path: program_path });
            }
            let wrong = |source| PodMapError::Program { path: program_path.clone(), source };
            let mut program = SchedClassifier::from_pin(&program_path).map_err(wrong)?;
            let side = match direction {
                Direction::Egress => TcAttachType::Ingress,
                Direction::Ingress => TcAttachType::Egress,
            };
            let options = TcAttachOptions::TcxOrder(LinkOrder::default());
            let link = program.attach_with_options(device, side, options).map_err(wrong)?;
            let link = program.take_link(link).map_err(wrong)?;
            let path = self.pins.pod_link(ifindex, direction);
            // A device index is given out again after a restart of the machine only; what is pinned under it is dead.
            remove_file(&path)?;
            let link =
                FdLink::try_from(link).map_err(|e| PodMapError::Link { path: path.clone(), source: e.into() })?;
            // The pin holds the link; the handle may go.
            drop(link.pin(&path).map_err(|e| PodMapError::Link { path: path.clone(), source: e.into() })?);
        }
        Ok(())
    }

    /// Removes the links of a device, and with them the programs from it.
    pub(crate) fn detach(&self, ifindex: u32) -> Result<(), PodMapError> {
        DIRECTIONS.into_iter().try_for_each(|direction| remove_file(&self.pins.pod_link(ifindex, direction)))
    }

    /// Whether both links of a device are pinned.
    pub(crate) fn is_attached(&self, ifindex: u32) -> bool {
        DIRECTIONS.into_iter().all(|direction| self.pins.pod_link(ifindex, direction).exists())
    }

    /// Devices that have pinned links.
    pub(crate) fn attached(&self) -> Result<Vec<u32>, PodMapError> {
        let directory = self.pins.links();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| PodMapError::Link { path: directory, source: e.into() })?,
        };
        let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| PinDirectory::parse_pod_link(&name)).map(|(ifindex, _)| ifindex).collect())
    }

    /// Whether network policies are in that Kubernetes namespace, as far as the agent has said.
    pub(crate) fn has_policies(&self, namespace: &str) -> Result<bool, PodMapError> {
        let path = self.pins.map(policy_namespace::NAME);
        if !path.exists() {
            return Ok(false);
        }
        let wrong = |source| PodMapError::Map { path: path.clone(), source };
        let map = MapData::from_pin(&path).and_then(Map::from_map_data).map_err(wrong)?;
        let map = HashMap::<_, PolicyNamespaceKey, u32>::try_from(map).map_err(wrong)?;
        match map.get(&PolicyNamespaceKey::new(namespace), 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(source) => Err(wrong(source)),
        }
    }

    /// Writes the entry of one address.
    pub(crate) fn insert(&mut self, address: IpAddr, value: &PodValue) -> Result<(), PodMapError> {
        let key = PodKey::new(address.into());
        self.map.insert(key, value, 0).map_err(|source| PodMapError::Map { path: self.path.clone(), source })
    }

    /// The entry of one address.
    pub(crate) fn get(&self, address: IpAddr) -> Result<Option<PodValue>, PodMapError> {
        match self.map.get(&PodKey::new(address.into()), 0) {
            Err(MapError::KeyNotFound) => Ok(None),
            other => other.map(Some).map_err(|source| PodMapError::Map { path: self.path.clone(), source }),
        }
    }

    /// Removes the entry of one address. Fine when there is none.
    pub(crate) fn remove(&mut self, address: IpAddr) -> Result<(), PodMapError> {
        match self.map.remove(&PodKey::new(address.into())) {
            Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| PodMapError::Map { path: self.path.clone(), source }),
        }
    }

    /// Every address that has an entry.
    pub(crate) fn addresses(&self) -> Result<Vec<IpAddr>, PodMapError> {
        let keys: Result<Vec<PodKey>, MapError> = self.map.keys().collect();
        let keys = keys.map_err(|source| PodMapError::Map { path: self.path.clone(), source })?;
        Ok(keys.into_iter().map(|key| key.address().into()).collect())
    }
}

fn remove_file(path: &Path) -> Result<(), PodMapError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PodMapError::Link { path: path.to_owned(), source: error.into() })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
