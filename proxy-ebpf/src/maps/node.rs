//! `NODES`: address range → how it is reached. Written by the agent, read by `pod_egress`, `overlay_egress` and
//! `uplink_egress`.
//!
//! The agent writes: every other node's pod ranges and its addresses (`Overlay`); this node's pod ranges (`LocalPods`) and
//! addresses (`Own`, with a flag where node ports are served); ranges to be reached without masquerade (`Direct`). Everything else is the world.

use core::net::IpAddr;

use crate::address::{Address, mapped_prefix_len};

/// Name of the map, a longest-prefix-match trie. Its key's prefix length counts bits of the mapped address.
pub const NAME: &str = "NODES";
/// Most ranges.
pub const CAPACITY: u32 = 65_536;

/// The data of the trie's key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    address: Address,
}
map_type!(NodeKey, size = 16);

impl NodeKey {
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

/// How a range is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reach {
    /// Through the tunnel to the node with that address.
    Overlay = 1,
    /// Pods of this node: an address of the range without an entry in `PODS` does not exist.
    LocalPods = 2,
    /// An address of this node itself.
    Own = 3,
    /// By the node's routes, with the pod's own address.
    Direct = 4,
}

impl Reach {
    /// From the word in the map; an unknown one is `None`.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Overlay),
            2 => Some(Self::LocalPods),
            3 => Some(Self::Own),
            4 => Some(Self::Direct),
            _ => None,
        }
    }
}

/// Value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeValue {
    address: Address,
    reach: u32,
    flags: u32,
}
map_type!(NodeValue, size = 24);

impl NodeValue {
    /// Node ports are served at the addresses of this range, which are the node's own.
    pub const NODE_PORTS: u32 = 1;

    /// Pods or addresses of another node, whose end of the tunnel is `address`.
    #[must_use]
    pub fn overlay(address: IpAddr) -> Self {
        Self { address: address.into(), reach: Reach::Overlay as u32, flags: 0 }
    }

    /// A range that needs no tunnel.
    #[must_use]
    pub const fn without_tunnel(reach: Reach) -> Self {
        Self { address: Address::UNSPECIFIED, reach: reach as u32, flags: 0 }
    }

    /// Addresses of this node at which node ports are served.
    #[must_use]
    pub const fn own_with_node_ports() -> Self {
        Self { address: Address::UNSPECIFIED, reach: Reach::Own as u32, flags: Self::NODE_PORTS }
    }

    /// Whether node ports are served at the addresses of this range.
    #[inline(always)]
    #[must_use]
    pub const fn has_node_ports(&self) -> bool {
        self.flags & Self::NODE_PORTS != 0
    }

    /// The far end of the tunnel; unspecified without one.
    #[inline(always)]
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// How it is reached; `None` for a word a newer agent wrote.
    #[inline(always)]
    #[must_use]
    pub const fn reach(&self) -> Option<Reach> {
        Reach::from_word(self.reach)
    }
}
