//! `BACKENDS`: backends of frontends that have more than fit into [`super::service::ServiceValue`], in chunks. Written by
//! the agent, read by `steps::backend_select`.
//!
//! Chunks are published whole: those of a new generation are written first, then the frontend's value which names that
//! generation, then the old chunks are deleted. A reader that finds a chunk gone looks the frontend up again.

use crate::address::Address;

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "BACKENDS";
/// Most chunks: a million backends.
pub const CAPACITY: u32 = 65_536;
/// Backends per chunk.
pub const CHUNK: usize = 16;
/// The same, as indexes in chunks are counted.
pub const CHUNK_U32: u32 = 16;
const _: () = assert!(CHUNK == CHUNK_U32 as usize);

/// One endpoint of a frontend.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backend {
    address: Address,
    port_be: u16,
    /// See [`Backend::LOCAL`].
    flags: u16,
    weight: u32,
}
map_type!(Backend, size = 24);

impl Backend {
    /// The endpoint is on this node.
    pub const LOCAL: u16 = 1;

    /// An endpoint; `port` in host order, `flags` of [`Self::LOCAL`].
    #[must_use]
    pub const fn new(address: Address, port: u16, flags: u16) -> Self {
        Self { address, port_be: port.to_be(), flags, weight: 1 }
    }

    /// The same endpoint with a relative weight (1 = normal), for algorithms that use one.
    #[must_use]
    pub const fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
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

    /// Bits: [`Self::LOCAL`].
    #[must_use]
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// Relative weight, 1 = normal.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether this is an unused slot.
    #[inline(always)]
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.port_be == 0 && self.address.is_unspecified()
    }
}

/// Key: a chunk of one generation of a frontend.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    generation: u64,
    chunk: u32,
    zero: u32,
}
map_type!(ChunkKey, size = 16);

impl ChunkKey {
    /// Chunk number `chunk` of what [`super::service::ServiceValue::generation`] names.
    #[inline(always)]
    #[must_use]
    pub const fn new(generation: u64, chunk: u32) -> Self {
        Self { generation, chunk, zero: 0 }
    }

    /// The generation it belongs to.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn chunk(&self) -> u32 {
        self.chunk
    }
}

/// Value: up to [`CHUNK`] backends, the generation at head and tail (the kernel may recycle an element under a reader).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkValue {
    generation_head: u64,
    /// Unused slots are [`Backend::is_none`].
    pub backends: [Backend; CHUNK],
    generation_tail: u64,
}
map_type!(ChunkValue, size = 400);

impl ChunkValue {
    /// The first [`CHUNK`] of `backends`.
    #[must_use]
    pub fn new(generation: u64, backends: &[Backend]) -> Self {
        let mut slots = [Backend::default(); CHUNK];
        slots.iter_mut().zip(backends).for_each(|(slot, backend)| *slot = *backend);
        Self { generation_head: generation, backends: slots, generation_tail: generation }
    }

    /// Generation as written before the backends.
    #[inline(always)]
    #[must_use]
    pub const fn generation_head(&self) -> u64 {
        self.generation_head
    }

    /// Generation as written after the backends.
    #[inline(always)]
    #[must_use]
    pub const fn generation_tail(&self) -> u64 {
        self.generation_tail
    }
}
