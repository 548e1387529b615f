//! Keys and values of `skep_proxy_ebpf::maps` → map elements. From `reconcile`, and from the operator's view (also while
//! the agent is dead); to the kernel.

use std::{fmt, io, marker::PhantomData, os::fd::OwnedFd, path::PathBuf};

use aya::{Pod, maps::lpm_trie};
use skep_proxy_ebpf::{
    maps::{
        affinity::{self, AffinityKey, AffinityValue},
        backend::{self, ChunkKey, ChunkValue},
        backend_count::{self, BackendCount, BackendCountKey},
        config::{self, NodeConfig},
        conntrack::{self, ConntrackKey, ConntrackValue},
        drop_count::{self, DropCount},
        identity::{self, IdentityKey},
        node::{self, NodeKey, NodeValue},
        pod::{self, PodKey, PodValue},
        pod_policy::{self, PodPolicyValue},
        policy_count::{self, PolicyCount, PolicyCountKey},
        policy_flow::{self, PolicyFlowKey, PolicyFlowValue},
        policy_namespace::{self, PolicyNamespaceKey},
        policy_rule::{self, PolicyRuleKey, PolicyRuleValue},
        service::{self, ServiceKey, ServiceValue},
        source_range::{self, SourceRangeKey},
    },
    pins::PinDirectory,
    verdict::DropReason,
};

use super::syscall::{self, Sizes};

mod bytes;
pub mod sweep;

/// Elements per call.
const BATCH: u32 = 1024;

/// A map could not be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The pinned map is not there: no agent has run with this pin directory, or one of another layout version has.
    #[error("open map {}", path.display())]
    Open {
        /// Where it should be pinned.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The map has no room: a named condition, never silent.
    #[error("map {map} is full ({written} of {wanted} elements written)")]
    Full {
        /// Its name.
        map: &'static str,
        /// Elements of this call that were written.
        written: usize,
        /// Elements of this call.
        wanted: usize,
    },
    /// The clock could not be read.
    #[error("read the monotonic clock")]
    Clock(#[source] io::Error),
    /// The kernel refused.
    #[error("{operation} map {map}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// The map's name.
        map: &'static str,
        #[source]
        source: io::Error,
    },
}

/// One pinned map with its types.
pub struct Table<K, V> {
    name: &'static str,
    fd: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).field("fd", &self.fd).finish()
    }
}

impl<K: Pod, V: Pod> Table<K, V> {
    const SIZES: Sizes = Sizes { key: size_of::<K>(), value: size_of::<V>() };

    fn open(pins: &PinDirectory, name: &'static str, flags: u32) -> Result<Self, MapError> {
        let path = pins.map(name);
        let fd = syscall::object_get(&path, flags).map_err(|source| MapError::Open { path, source })?;
        Ok(Self { name, fd, types: PhantomData })
    }

    fn error(&self, operation: &'static str) -> impl FnOnce(io::Error) -> MapError {
        let map = self.name;
        move |source| MapError::Kernel { operation, map, source }
    }

    fn write_error(&self, written: usize, wanted: usize, source: io::Error) -> MapError {
        match source.raw_os_error() {
            Some(libc::E2BIG | libc::ENOSPC) => MapError::Full { map: self.name, written, wanted },
            _ => MapError::Kernel { operation: "write to", map: self.name, source },
        }
    }

    /// The element under `key`.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn get(&self, key: &K) -> Result<Option<V>, MapError> {
        let mut value = bytes::zeroed(1, size_of::<V>());
        let found = syscall::lookup(&self.fd, Self::SIZES, bytes::of(key), &mut value).map_err(self.error("read"))?;
        Ok(found.then(|| bytes::read::<V>(&value)).flatten())
    }

    /// Writes one element: readers see the old or the new value, never a mixture they would believe.
    ///
    /// # Errors
    /// [`MapError::Full`], [`MapError::Kernel`].
    pub fn put(&self, key: &K, value: &V) -> Result<(), MapError> {
        syscall::update(&self.fd, Self::SIZES, bytes::of(key), bytes::of(value))
            .map_err(|source| self.write_error(0, 1, source))
    }

    /// Writes elements in as few calls as possible, in order.
    ///
    /// # Errors
    /// [`MapError::Full`], [`MapError::Kernel`]; elements before the failing one are written.
    pub fn put_all(&self, elements: &[(K, V)]) -> Result<(), MapError> {
        for (chunk_index, chunk) in elements.chunks(BATCH as usize).enumerate() {
            let keys = bytes::concat::<K>(chunk.iter().map(|(key, _)| key));
            let values = bytes::concat::<V>(chunk.iter().map(|(_, value)| value));
            let count = u32::try_from(chunk.len()).unwrap_or(BATCH);
            syscall::update_batch(&self.fd, Self::SIZES, count, &keys, &values).map_err(|(done, source)| {
                let written = chunk_index * BATCH as usize + usize::try_from(done).unwrap_or(0);
                self.write_error(written, elements.len(), source)
            })?;
        }
        Ok(())
    }

    /// Deletes one element; `false` when there was none.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn delete(&self, key: &K) -> Result<bool, MapError> {
        syscall::delete(&self.fd, Self::SIZES, bytes::of(key)).map_err(self.error("delete from"))
    }

    /// Deletes elements in as few calls as possible; those that do not exist are no error.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn delete_all(&self, keys: &[K]) -> Result<(), MapError> {
        let mut rest = keys;
        while !rest.is_empty() {
            let chunk = rest.get(..BATCH as usize).unwrap_or(rest);
            let count = u32::try_from(chunk.len()).unwrap_or(BATCH);
            let done = match syscall::delete_batch(&self.fd, Self::SIZES, count, &bytes::concat::<K>(chunk.iter())) {
                Ok(()) => chunk.len(),
                // The batch ends at a key which is not there: step over it.
                Err((done, error)) if error.raw_os_error() == Some(libc::ENOENT) => {
                    usize::try_from(done).unwrap_or(0) + 1
                }
                Err((_, error)) => return Err(self.error("delete from")(error)),
            };
            rest = rest.get(done..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Every element, in no order. Elements that change meanwhile may be seen in either state, or be missed.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn dump(&self) -> Result<Vec<(K, V)>, MapError> {
        let mut elements = Vec::new();
        self.visit(|key, value| elements.push((key, value)))?;
        Ok(elements)
    }

    /// Shows every element to `see`, as [`Self::dump`] without holding them all at once.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn visit(&self, mut see: impl FnMut(K, V)) -> Result<(), MapError> {
        let mut cursor = None;
        let mut batch = BATCH;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        loop {
            if keys.is_empty() {
                (keys, values) = (bytes::zeroed(batch, size_of::<K>()), bytes::zeroed(batch, size_of::<V>()));
            }
            match syscall::lookup_batch(&self.fd, Self::SIZES, &mut cursor, batch, &mut keys, &mut values) {
                Ok(step) => {
                    let count = usize::try_from(step.count).unwrap_or(0);
                    let pairs = keys.chunks_exact(size_of::<K>()).zip(values.chunks_exact(size_of::<V>())).take(count);
                    pairs
                        .filter_map(|(key, value)| Some((bytes::read(key)?, bytes::read(value)?)))
                        .for_each(|(key, value)| see(key, value));
                    if !step.more {
                        return Ok(());
                    }
                }
                // A bucket holds more than a batch: ask again for more.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && batch < 1 << 20 => {
                    batch *= 2;
                    keys.clear();
                }
                Err(error) => return Err(self.error("dump")(error)),
            }
        }
    }
}

/// Key of the node map: a prefix length and an address.
pub type NodeRange = lpm_trie::Key<NodeKey>;

/// Key of the map of source ranges: a prefix length, a Service port and an address.
pub type SourceRange = lpm_trie::Key<SourceRangeKey>;

/// Every map that user space reads or writes.
#[derive(Debug)]
pub struct TypedMaps {
    /// Facts of this node, at [`config::INDEX`]. Written by the agent.
    pub config: Table<u32, NodeConfig>,
    /// Frontends. Written by the agent.
    pub services: Table<ServiceKey, ServiceValue>,
    /// Whom Service ports with source ranges serve; the value says nothing. Written by the agent.
    pub source_ranges: Table<SourceRange, u32>,
    /// Clients of Services with session affinity. Written by the programs, swept by the agent.
    pub affinity: Table<AffinityKey, AffinityValue>,
    /// Backends of frontends with many. Written by the agent.
    pub chunks: Table<ChunkKey, ChunkValue>,
    /// Connections per backend; the agent makes and deletes elements.
    pub backend_counts: Table<BackendCountKey, BackendCount>,
    /// Pods of this node. Written by the CNI plugin.
    pub pods: Table<PodKey, PodValue>,
    /// Where addresses are. Written by the agent.
    pub nodes: Table<NodeRange, NodeValue>,
    /// Translated flows. Written by the programs, swept by the agent.
    pub conntrack: Table<ConntrackKey, ConntrackValue>,
    /// What policies see in addresses. Written by the agent.
    pub identities: Table<lpm_trie::Key<IdentityKey>, u64>,
    /// What policies allow. Written by the agent.
    pub policy_rules: Table<lpm_trie::Key<PolicyRuleKey>, PolicyRuleValue>,
    /// The rules pods are under. Written by the agent.
    pub pod_policies: Table<PodKey, PodPolicyValue>,
    /// Namespaces with policies; the value says nothing. Written by the agent.
    pub policy_namespaces: Table<PolicyNamespaceKey, u32>,
    /// How often rules were used; the agent makes and deletes elements.
    pub policy_counts: Table<PolicyCountKey, PolicyCount>,
    /// Generation of the rules, at index 0. Written by the agent.
    pub policy_generation: Table<u32, u64>,
    /// Flows that policies allowed. Written by the programs, swept by the agent.
    pub policy_flows: Table<PolicyFlowKey, PolicyFlowValue>,
    drops: OwnedFd,
}

impl TypedMaps {
    /// Opens the pinned maps for reading and writing.
    ///
    /// # Errors
    /// [`MapError::Open`] when a map is not pinned.
    pub fn open(pins: &PinDirectory) -> Result<Self, MapError> {
        Self::open_with(pins, 0)
    }

    /// Opens the pinned maps for reading; works with the agent dead.
    ///
    /// # Errors
    /// [`MapError::Open`] when a map is not pinned.
    pub fn open_read_only(pins: &PinDirectory) -> Result<Self, MapError> {
        Self::open_with(pins, syscall::READ_ONLY)
    }

    fn open_with(pins: &PinDirectory, flags: u32) -> Result<Self, MapError> {
        let path = pins.map(drop_count::NAME);
        let drops = syscall::object_get(&path, flags).map_err(|source| MapError::Open { path, source })?;
        Ok(Self {
            config: Table::open(pins, config::NAME, flags)?,
            services: Table::open(pins, service::NAME, flags)?,
            source_ranges: Table::open(pins, source_range::NAME, flags)?,
            affinity: Table::open(pins, affinity::NAME, flags)?,
            chunks: Table::open(pins, backend::NAME, flags)?,
            backend_counts: Table::open(pins, backend_count::NAME, flags)?,
            pods: Table::open(pins, pod::NAME, flags)?,
            nodes: Table::open(pins, node::NAME, flags)?,
            conntrack: Table::open(pins, conntrack::NAME, flags)?,
            identities: Table::open(pins, identity::NAME, flags)?,
            policy_rules: Table::open(pins, policy_rule::NAME, flags)?,
            pod_policies: Table::open(pins, pod_policy::NAME, flags)?,
            policy_namespaces: Table::open(pins, policy_namespace::NAME, flags)?,
            policy_counts: Table::open(pins, policy_count::NAME, flags)?,
            policy_generation: Table::open(pins, policy_rule::GENERATION_NAME, flags)?,
            policy_flows: Table::open(pins, policy_flow::NAME, flags)?,
            drops,
        })
    }

    /// What was dropped or refused for `reason`, over all CPUs.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn drop_count(&self, reason: DropReason) -> Result<DropCount, MapError> {
        let error = |source| MapError::Kernel { operation: "read", map: drop_count::NAME, source };
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| error(source))?;
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        let mut values = bytes::zeroed(cpus, size_of::<DropCount>());
        let sizes = Sizes { key: size_of::<u32>(), value: values.len() };
        syscall::lookup(&self.drops, sizes, bytes::of(&reason.index()), &mut values).map_err(error)?;
        let per_cpu = values.chunks_exact(size_of::<DropCount>()).filter_map(bytes::read::<DropCount>);
        Ok(per_cpu.fold(DropCount::default(), |sum, count| DropCount {
            packets: sum.packets.wrapping_add(count.packets),
            bytes: sum.bytes.wrapping_add(count.bytes),
        }))
    }
}

/// The key of a range in [`TypedMaps::nodes`]; `None` when `prefix_len` is too great for the family.
#[must_use]
pub fn node_range(network: std::net::IpAddr, prefix_len: u8) -> Option<NodeRange> {
    let (bits, key) = NodeKey::range(network, prefix_len)?;
    Some(lpm_trie::Key::new(bits, key))
}
