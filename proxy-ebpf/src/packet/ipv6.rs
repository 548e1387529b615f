//! IPv6 (RFC 8200). Pure.

use crate::address::Address;

/// Bytes of the fixed header.
pub const LEN: u32 = 40;
/// Offset of the source address in the header; the destination follows it.
pub const SOURCE: u32 = 8;

/// Extension header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Extension header: routing.
pub const ROUTING: u8 = 43;
/// Extension header: fragment.
pub const FRAGMENT: u8 = 44;
/// Extension header: destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// Fixed header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Version 6, traffic class and flow label, network byte order.
    pub version_class_flow_be: u32,
    /// Bytes after this header, network byte order.
    pub payload_length_be: u16,
    /// IANA number of what follows.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Source, as words in network byte order.
    pub source: [u32; 4],
    /// Destination, as words in network byte order.
    pub destination: [u32; 4],
}
const _: () = assert!(size_of::<Header>() == LEN as usize);

/// Fragment extension header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FragmentHeader {
    /// IANA number of what follows.
    pub next_header: u8,
    /// Zero.
    pub reserved: u8,
    /// Offset in units of eight bytes (upper 13 bits) and the more-fragments bit, network byte order.
    pub offset_be: u16,
    /// Identification, as it lies in the packet.
    pub identification: u32,
}

impl Header {
    /// Whether the version is 6.
    #[inline(always)]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        u32::from_be(self.version_class_flow_be) >> 28 == 6
    }

    /// Source address.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Address {
        Address::from_words(self.source)
    }

    /// Destination address.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> Address {
        Address::from_words(self.destination)
    }
}

impl FragmentHeader {
    /// Whether the fragment does not start with the transport header.
    #[inline(always)]
    #[must_use]
    pub const fn is_later_fragment(&self) -> bool {
        u16::from_be(self.offset_be) >> 3 != 0
    }
}
