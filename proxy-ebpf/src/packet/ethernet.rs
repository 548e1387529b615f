//! Ethernet. Pure.

/// Bytes of the header (no VLAN tag: pods and the overlay have none).
pub const LEN: u32 = 14;
/// Offset of the destination address.
pub const DESTINATION: u32 = 0;
/// Offset of the source address.
pub const SOURCE: u32 = 6;

/// Ethertype of IPv4, as it lies in the packet.
pub const IPV4_BE: u16 = 0x0800_u16.to_be();
/// Ethertype of ARP, as it lies in the packet.
pub const ARP_BE: u16 = 0x0806_u16.to_be();
/// Ethertype of IPv6, as it lies in the packet.
pub const IPV6_BE: u16 = 0x86dd_u16.to_be();

/// Header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Destination address.
    pub destination: [u8; 6],
    /// Source address.
    pub source: [u8; 6],
    /// What follows, network byte order.
    pub ethertype_be: u16,
}
const _: () = assert!(size_of::<Header>() == LEN as usize);
