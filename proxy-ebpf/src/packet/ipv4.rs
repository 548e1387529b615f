//! IPv4 (RFC 791). Pure.

#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "sums of a few 16-bit words cannot overflow 32 bits")
)]

use super::checksum;
use crate::address::Address;

/// Bytes of the header without options.
pub const LEN: u32 = 20;
/// Offset of the checksum in the header.
pub const CHECKSUM: u32 = 10;
/// Offset of the source address in the header; the destination follows it.
pub const SOURCE: u32 = 12;

/// More fragments follow.
const MORE_FRAGMENTS: u16 = 0x2000;
/// Offset of this fragment, in units of eight bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Header without options.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Version 4 and header length in words.
    pub version_length: u8,
    /// Differentiated services and ECN.
    pub service: u8,
    /// Bytes of header and payload, network byte order.
    pub total_length_be: u16,
    /// Identification, as it lies in the packet.
    pub identification: u16,
    /// Flags and fragment offset, network byte order.
    pub fragment_be: u16,
    /// Hops left.
    pub time_to_live: u8,
    /// IANA number of what follows.
    pub protocol: u8,
    /// Checksum of the header, as it lies in the packet.
    pub checksum: u16,
    /// Source, network byte order.
    pub source_be: u32,
    /// Destination, network byte order.
    pub destination_be: u32,
}
const _: () = assert!(size_of::<Header>() == LEN as usize);

impl Header {
    /// Bytes of the header with options; `None` when it is not IPv4 or shorter than a header can be.
    #[inline(always)]
    #[must_use]
    pub const fn length(&self) -> Option<u32> {
        let length = (self.version_length & 0xf) as u32 * 4;
        if self.version_length >> 4 == 4 && length >= LEN { Some(length) } else { None }
    }

    /// Source address.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Address {
        Address::from_ipv4_word(self.source_be)
    }

    /// Destination address.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> Address {
        Address::from_ipv4_word(self.destination_be)
    }

    /// Whether this is part of a fragmented packet.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        u16::from_be(self.fragment_be) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// Whether this is a fragment which does not start with the transport header.
    #[inline(always)]
    #[must_use]
    pub const fn is_later_fragment(&self) -> bool {
        u16::from_be(self.fragment_be) & FRAGMENT_OFFSET != 0
    }

    /// The same header with its checksum computed. Only for headers without options.
    #[must_use]
    pub const fn with_checksum(mut self) -> Self {
        self.checksum = 0;
        self.checksum = checksum::finish(self.sum());
        self
    }

    /// Sum of the header's words (RFC 1071), unfolded.
    const fn sum(&self) -> u32 {
        let a = u16::from_ne_bytes([self.version_length, self.service]) as u32;
        let b = u16::from_ne_bytes([self.time_to_live, self.protocol]) as u32;
        a + b
            + self.total_length_be as u32
            + self.identification as u32
            + self.fragment_be as u32
            + self.checksum as u32
            + checksum::words(self.source_be)
            + checksum::words(self.destination_be)
    }
}
