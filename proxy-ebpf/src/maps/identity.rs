//! `IDENTITIES`: address range → what network policies see in it.
//!
//! Written by the agent, read by `steps::policy`. Addresses that every policy of this node treats alike share an
//! identity, so a rule is one element whatever the number of pods it names. An identity is a hash of what it stands for:
//! it means the same after a restart, and never comes to mean something else.

use core::net::IpAddr;

use crate::address::{Address, mapped_prefix_len};

/// Name of the map, a longest-prefix-match trie. Its key's prefix length counts bits of the mapped address.
pub const NAME: &str = "IDENTITIES";
/// Most ranges.
pub const CAPACITY: u32 = 524_288;

/// The identity of an address that no policy names. Under it stand the rules for everybody.
pub const ANYBODY: u64 = 0;

/// The data of the trie's key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey {
    address: Address,
}
map_type!(IdentityKey, size = 16);

impl IdentityKey {
    /// Bits of a whole address: the prefix length of a look-up.
    pub const ALL_BITS: u32 = 128;

    /// What is looked up.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self { address }
    }

    /// A range: (prefix length for the trie, key). `None` when `prefix_len` is too great for the family.
    #[must_use]
    pub fn range(network: IpAddr, prefix_len: u8) -> Option<(u32, Self)> {
        Some((mapped_prefix_len(network, prefix_len)?, Self::new(network.into())))
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }
}
