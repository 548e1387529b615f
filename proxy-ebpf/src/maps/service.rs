//! `SERVICES`: what a client dials → where it goes. Written by the agent, read by `steps::service_lookup`.

use super::backend::{Backend, CHUNK_U32};
use crate::{address::Address, protocol::Protocol};

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "SERVICES";
/// Most frontends.
pub const CAPACITY: u32 = 131_072;
/// Backends held in the value itself; more are in [`super::backend`].
pub const INLINE: usize = 8;

/// Seen by pods and processes of the node.
pub const SCOPE_CLUSTER: u8 = 0;
/// Seen by clients outside the cluster, where the policy gives them other backends.
pub const SCOPE_EXTERNAL: u8 = 1;

/// Key: a frontend, or the mark of an address whose other ports are refused ([`ServiceKey::address_mark`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServiceKey {
    address: Address,
    port_be: u16,
    protocol: u8,
    scope: u8,
}
map_type!(ServiceKey, size = 20);

impl ServiceKey {
    /// A frontend; `port` in host order, `scope` one of [`SCOPE_CLUSTER`] and [`SCOPE_EXTERNAL`].
    #[must_use]
    pub const fn new(address: Address, port: u16, protocol: Protocol, scope: u8) -> Self {
        Self { address, port_be: port.to_be(), protocol: protocol.number(), scope }
    }

    /// Says that `address` belongs to a Service: its ports without a frontend are refused.
    #[inline(always)]
    #[must_use]
    pub const fn address_mark(address: Address) -> Self {
        Self { address, port_be: 0, protocol: 0, scope: SCOPE_CLUSTER }
    }

    /// A node port, whatever address of the node is dialled ([`super::node::NodeValue::NODE_PORTS`] says which count):
    /// `0.0.0.0` or `::` stands for all of a family.
    #[inline(always)]
    #[must_use]
    pub const fn node_port(is_ipv4: bool, port_be: u16, protocol: u8, scope: u8) -> Self {
        let address = if is_ipv4 { Address::from_ipv4_word(0) } else { Address::UNSPECIFIED };
        Self { address, port_be, protocol, scope }
    }

    /// As a packet or socket names it: port in network byte order, protocol by its IANA number.
    #[inline(always)]
    #[must_use]
    pub const fn from_wire(address: Address, port_be: u16, protocol: u8, scope: u8) -> Self {
        Self { address, port_be, protocol, scope }
    }

    /// Its address.
    #[inline(always)]
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Its port in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn port_be(&self) -> u16 {
        self.port_be
    }

    /// Its port in host order.
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be(self.port_be)
    }

    /// Its protocol; `None` for an address mark.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        Protocol::from_number(self.protocol)
    }

    /// Its protocol by IANA number.
    #[inline(always)]
    #[must_use]
    pub const fn protocol_number(&self) -> u8 {
        self.protocol
    }

    /// [`SCOPE_CLUSTER`] or [`SCOPE_EXTERNAL`].
    #[must_use]
    pub const fn scope(&self) -> u8 {
        self.scope
    }

    /// Whether this is an address mark.
    #[must_use]
    pub const fn is_address_mark(&self) -> bool {
        self.port_be == 0 && self.protocol == 0
    }
}

/// How a backend is chosen; the agent may change it at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Algorithm {
    /// Any backend, with equal chance.
    #[default]
    Random = 0,
    /// One after the other.
    RoundRobin = 1,
}

impl Algorithm {
    /// From the byte in a map; an unknown one is [`Self::Random`], so that an older program serves newer entries.
    #[inline(always)]
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::RoundRobin,
            _ => Self::Random,
        }
    }
}

/// Value: the backends of one frontend.
///
/// The kernel may recycle an element while a program reads it, so the value repeats its key, and its generation stands at
/// head and tail; a program that finds them unequal looks up again. A generation is never used for two frontends.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceValue {
    generation_head: u64,
    service_id: u64,
    frontend: ServiceKey,
    count: u32,
    affinity_seconds: u32,
    /// Advanced by the programs with every round-robin choice; a publish starts it anew.
    pub cursor: u32,
    algorithm: u8,
    flags: u8,
    zero: [u8; 6],
    backends: [Backend; INLINE],
    generation_tail: u64,
}
map_type!(ServiceValue, size = 256);

impl ServiceValue {
    /// Session affinity by client address is on.
    pub const AFFINITY: u8 = 1;
    /// Without backends: drop silently instead of refusing (`externalTrafficPolicy: Local` with no local endpoint).
    pub const DROP_WITHOUT_BACKENDS: u8 = 2;
    /// The client's address must be replaced by the node's.
    pub const MASQUERADE: u8 = 4;
    /// Only clients in [`super::source_range`] of the Service port are served; others are dropped.
    pub const SOURCE_RANGES: u8 = 8;

    /// The value of `frontend`. More than [`INLINE`] backends are not kept here: the caller writes them to
    /// [`super::backend`] under `generation`, before this.
    #[must_use]
    pub fn new(frontend: ServiceKey, service_id: u64, generation: u64, backends: &[Backend]) -> Self {
        let mut slots = [Backend::default(); INLINE];
        if backends.len() <= INLINE {
            slots.iter_mut().zip(backends).for_each(|(slot, backend)| *slot = *backend);
        }
        Self {
            generation_head: generation,
            service_id,
            frontend,
            count: u32::try_from(backends.len()).unwrap_or(u32::MAX),
            affinity_seconds: 0,
            cursor: 0,
            algorithm: Algorithm::Random as u8,
            flags: 0,
            zero: [0; 6],
            backends: slots,
            generation_tail: generation,
        }
    }

    /// The same with an algorithm.
    #[must_use]
    pub const fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm as u8;
        self
    }

    /// The same with flags: [`Self::DROP_WITHOUT_BACKENDS`], [`Self::MASQUERADE`], [`Self::SOURCE_RANGES`].
    #[must_use]
    pub const fn with_flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// The same with session affinity for `seconds`.
    #[must_use]
    pub const fn with_affinity(mut self, seconds: u32) -> Self {
        self.affinity_seconds = seconds;
        self.flags |= Self::AFFINITY;
        self
    }

    /// Generation as written before everything else.
    #[inline(always)]
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation_head
    }

    /// Generation as written after everything else.
    #[inline(always)]
    #[must_use]
    pub const fn generation_tail(&self) -> u64 {
        self.generation_tail
    }

    /// Stable identity of the Service port: the same for all its frontends, on every node, across restarts.
    #[inline(always)]
    #[must_use]
    pub const fn service_id(&self) -> u64 {
        self.service_id
    }

    /// The key this value was written under.
    #[inline(always)]
    #[must_use]
    pub const fn frontend(&self) -> &ServiceKey {
        &self.frontend
    }

    /// Number of backends.
    #[inline(always)]
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Seconds of session affinity; 0 when it is off.
    #[must_use]
    pub const fn affinity_seconds(&self) -> u32 {
        self.affinity_seconds
    }

    /// How a backend is chosen.
    #[inline(always)]
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        Algorithm::from_byte(self.algorithm)
    }

    /// Bits: [`Self::AFFINITY`], [`Self::DROP_WITHOUT_BACKENDS`], [`Self::MASQUERADE`], [`Self::SOURCE_RANGES`].
    #[inline(always)]
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the backends are in [`super::backend`], in [`Self::chunks`] chunks.
    #[inline(always)]
    #[must_use]
    pub const fn is_chunked(&self) -> bool {
        self.count as usize > INLINE
    }

    /// Chunks in [`super::backend`] under [`Self::generation`]; 0 when the backends are inline.
    #[must_use]
    pub const fn chunks(&self) -> u32 {
        if self.is_chunked() { self.count.div_ceil(CHUNK_U32) } else { 0 }
    }

    /// The inline slots; unused ones are [`Backend::is_none`].
    #[inline(always)]
    #[must_use]
    pub const fn slots(&self) -> &[Backend; INLINE] {
        &self.backends
    }

    /// The inline backends that are used; empty when [`Self::is_chunked`].
    #[must_use]
    pub fn inline_backends(&self) -> &[Backend] {
        if self.is_chunked() { &[] } else { self.backends.get(..self.count as usize).unwrap_or(&[]) }
    }
}
