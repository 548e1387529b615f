//! Constants of the pod network which kernel and user space must share. To the agent, the CNI plugin and the programs.

/// Name of the VXLAN device of a node.
pub const DEVICE: &str = "skep0";

/// Default UDP port of the overlay.
pub const UDP_PORT: u16 = 4789;

/// VXLAN network identifier.
pub const VNI: u32 = 1;

/// Bytes which the overlay adds to a packet: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14.
pub const OVERHEAD_IPV4: u32 = 50;

/// Bytes which the overlay adds to a packet when nodes speak IPv6 to each other.
pub const OVERHEAD_IPV6: u32 = 70;

/// MAC address of the host side of every pod's veth pair *and* of every node's overlay device.
///
/// One address for all means that the frame a pod sends to its gateway is already addressed to whatever receives it, on
/// this node or at the far end of the tunnel: pod traffic is forwarded without writing to the packet.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0x73, 0x6b, 0x65, 0x70, 0x01];

/// Source MAC address of frames the node itself sends into the overlay. Not [`GATEWAY_MAC`]: the far VXLAN device drops
/// frames whose source is its own address.
pub const NODE_MAC: [u8; 6] = [0x02, 0x73, 0x6b, 0x65, 0x70, 0x02];

/// The pod's IPv4 gateway, on no interface; a permanent neighbour entry in the pod, and `pod_egress`, answer for it.
pub const GATEWAY_IPV4: core::net::Ipv4Addr = core::net::Ipv4Addr::new(169, 254, 1, 1);

/// The pod's IPv6 gateway, like [`GATEWAY_IPV4`].
pub const GATEWAY_IPV6: core::net::Ipv6Addr = core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// `skb->mark` of a packet which already carries its tunnel key; `overlay_egress` clears it.
pub const MARK_TUNNEL_KEY_SET: u32 = 0x5e9_0001;
