//! `CONFIG`: facts of this node. Written by the agent, read by every program.

use crate::address::{Address, Cidr};

/// Name of the map, an array.
pub const NAME: &str = "CONFIG";
/// Elements of the array.
pub const CAPACITY: u32 = 1;
/// Index of the only element.
pub const INDEX: u32 = 0;

/// Pod traffic that leaves the cluster gets the node's address.
pub const MASQUERADE: u32 = 1;

/// The only element.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NodeConfig {
    /// Bits: [`MASQUERADE`].
    pub flags: u32,
    /// Interface index of the overlay device; 0 while there is none.
    pub overlay_ifindex: u32,
    /// Interface index of the device towards other nodes and the world.
    pub uplink_ifindex: u32,
    /// VXLAN network identifier.
    pub vni: u32,
    /// First port [`MASQUERADE`] may use, host order.
    pub snat_port_min: u16,
    /// Last port [`MASQUERADE`] may use, host order.
    pub snat_port_max: u16,
    /// Always 0.
    pub zero: u32,
    /// The node's IPv4 address, mapped; unspecified when it has none.
    pub ipv4: Address,
    /// The node's IPv6 address; unspecified when it has none.
    pub ipv6: Address,
    /// Where ClusterIPs come from, unused slots [`Cidr::NONE`]: a port of them which no Service defines is refused.
    pub service_cidrs: [Cidr; 4],
    /// Cookie of the node's own network namespace: what its processes dial at a loopback address is the node's.
    pub host_netns_cookie: u64,
}
map_type!(NodeConfig, size = 192);

/// Ports masquerading uses by default: below the node ports (30000) and the ports Linux hands to sockets (32768).
pub const DEFAULT_SNAT_PORTS: (u16, u16) = (10_000, 29_999);

impl NodeConfig {
    /// Whether `address` belongs to a range of ClusterIPs.
    #[inline(always)]
    #[must_use]
    pub const fn is_service_address(&self, address: Address) -> bool {
        let [a, b, c, d] = &self.service_cidrs;
        a.contains(address) || b.contains(address) || c.contains(address) || d.contains(address)
    }

    /// The node's own address of the family of `other`; unspecified when it has none.
    #[inline(always)]
    #[must_use]
    pub const fn own_address(&self, other: Address) -> Address {
        if other.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}
