//! The addresses and ports of a packet. Pure.

use crate::address::Address;

/// Source and destination. For ICMP echo both ports are the identifier.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Tuple {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port, network byte order.
    pub source_port_be: u16,
    /// Destination port, network byte order.
    pub destination_port_be: u16,
}
const _: () = assert!(size_of::<Tuple>() == 36);

impl Tuple {
    /// Ports in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn new(source: Address, destination: Address, source_port_be: u16, destination_port_be: u16) -> Self {
        Self { source, destination, source_port_be, destination_port_be }
    }

    /// The tuple of the answer.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self::new(self.destination, self.source, self.destination_port_be, self.source_port_be)
    }

    /// The same from another source.
    #[inline(always)]
    #[must_use]
    pub const fn with_source(mut self, source: Address, port_be: u16) -> Self {
        self.source = source;
        self.source_port_be = port_be;
        self
    }

    /// The same to another destination.
    #[inline(always)]
    #[must_use]
    pub const fn with_destination(mut self, destination: Address, port_be: u16) -> Self {
        self.destination = destination;
        self.destination_port_be = port_be;
        self
    }

    /// A number that is equal for equal tuples and spread for others (the finalizer of `MurmurHash3` over the words).
    #[inline(always)]
    #[must_use]
    pub const fn hash(&self) -> u32 {
        let ([a, b, c, d], [e, f, g, h]) = (self.source.words(), self.destination.words());
        let ports = (self.source_port_be as u32) << 16 | self.destination_port_be as u32;
        let mut x = mix(mix(mix(a ^ e, b ^ f), c ^ g), d) ^ h.rotate_left(13);
        x = mix(x, ports);
        x ^= x >> 16;
        x = x.wrapping_mul(0x85eb_ca6b);
        x ^= x >> 13;
        x = x.wrapping_mul(0xc2b2_ae35);
        x ^ (x >> 16)
    }
}

#[inline(always)]
const fn mix(x: u32, word: u32) -> u32 {
    (x.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9)
}
