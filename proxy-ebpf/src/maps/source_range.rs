//! `SOURCE_RANGES`: whom a Service port with `loadBalancerSourceRanges` serves.
//!
//! Written by the agent, before the frontends that name it ([`super::service::ServiceValue::SOURCE_RANGES`]); read by `steps::backend_select`.

use core::net::IpAddr;

use crate::address::{Address, mapped_prefix_len};

/// Name of the map, a longest-prefix-match trie; the value says nothing.
pub const NAME: &str = "SOURCE_RANGES";
/// Most ranges.
pub const CAPACITY: u32 = 65_536;

/// The data of the trie's key: the Service port first, so that a range is one of that port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRangeKey {
    service_id: u64,
    address: Address,
}
map_type!(SourceRangeKey, size = 24);

impl SourceRangeKey {
    /// Bits of the Service port's identity, in front of every prefix.
    const ID_BITS: u32 = 64;
    /// Bits of a whole key: the prefix length of a look-up.
    pub const ALL_BITS: u32 = Self::ID_BITS + 128;

    /// What is looked up.
    #[inline(always)]
    #[must_use]
    pub const fn new(service_id: u64, address: Address) -> Self {
        Self { service_id, address }
    }

    /// A range: (prefix length for the trie, key). `None` when `prefix_len` is too great for the family.
    #[must_use]
    pub fn range(service_id: u64, network: IpAddr, prefix_len: u8) -> Option<(u32, Self)> {
        let bits = mapped_prefix_len(network, prefix_len)?.checked_add(Self::ID_BITS)?;
        Some((bits, Self::new(service_id, network.into())))
    }

    /// Identity of the Service port.
    #[must_use]
    pub const fn service_id(&self) -> u64 {
        self.service_id
    }
}
