//! `FRAGMENTS`: ports of a fragmented packet whose first fragment has passed.
//!
//! Written and read by the packet programs. Least
//! recently used entries are evicted: a packet whose fragments are that far apart is lost anyway.

use crate::address::Address;

/// Name of the map, an LRU hash.
pub const NAME: &str = "FRAGMENTS";
/// Most packets under way in fragments.
pub const CAPACITY: u32 = 8_192;

/// Key: what all fragments of a packet share.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address, before translation.
    pub destination: Address,
    /// Identification, as it lies in the packet.
    pub identification: u32,
    /// IANA number of the protocol.
    pub protocol: u32,
}
map_type!(FragmentKey, size = 40);

/// Value: the ports of the first fragment, network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentValue {
    /// Source port.
    pub source_port_be: u16,
    /// Destination port.
    pub destination_port_be: u16,
}
map_type!(FragmentValue, size = 4);
