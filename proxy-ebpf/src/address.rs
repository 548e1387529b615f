//! An IP address as every map key and value holds it. From packets, sockets and the API; to [`crate::maps`]. Pure.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Third word of an IPv4-mapped address, `::ffff:0:0/96`, as it lies in memory.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// Sixteen bytes in network order; IPv4 is `::ffff:a.b.c.d`.
///
/// Kept as four words, each holding four bytes as they lie in the packet: the BPF compiler moves words, but copies byte
/// arrays byte by byte.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    words: [u32; 4],
}

impl Address {
    /// `::`, the address no pod, node or frontend has.
    pub const UNSPECIFIED: Self = Self { words: [0; 4] };

    /// From sixteen bytes in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_octets(o: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, p, q] = o;
        Self::from_words([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, p, q]),
        ])
    }

    /// From four words as the kernel hands them over (each in network byte order).
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        Self { words }
    }

    /// From an IPv4 address as one word in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_ipv4_word(word: u32) -> Self {
        Self { words: [0, 0, MAPPED, word] }
    }

    /// The four words, each in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        self.words
    }

    /// The last word: the whole address where [`Self::is_ipv4`].
    #[inline(always)]
    #[must_use]
    pub const fn ipv4_word(self) -> u32 {
        let [_, _, _, word] = self.words;
        word
    }

    /// The sixteen bytes in network order.
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        let [w0, w1, w2, w3] = self.words;
        let ([a, b, c, d], [e, f, g, h]) = (w0.to_ne_bytes(), w1.to_ne_bytes());
        let ([i, j, k, l], [m, n, p, q]) = (w2.to_ne_bytes(), w3.to_ne_bytes());
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, p, q]
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn is_ipv4(self) -> bool {
        let [a, b, c, _] = self.words;
        a == 0 && b == 0 && c == MAPPED
    }

    /// Whether this is [`Self::UNSPECIFIED`].
    #[inline(always)]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        let [a, b, c, d] = self.words;
        a | b | c | d == 0
    }

    /// Whether this is an IPv6 link-local address (`fe80::/10`).
    #[inline(always)]
    #[must_use]
    pub const fn is_link_local_ipv6(self) -> bool {
        let [first, ..] = self.words;
        u32::from_be(first) >> 22 == 0xfe80_0000 >> 22
    }

    /// Whether this is a multicast or the limited broadcast address.
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        let [first, .., last] = self.words;
        if self.is_ipv4() {
            u32::from_be(last) >> 28 == 0xe || last == u32::MAX
        } else {
            u32::from_be(first) >> 24 == 0xff
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(v4: Ipv4Addr) -> Self {
        Self::from_ipv4_word(u32::from_ne_bytes(v4.octets()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(v6: Ipv6Addr) -> Self {
        Self::from_octets(v6.octets())
    }
}

impl From<Address> for IpAddr {
    /// IPv4 comes back as `IpAddr::V4`.
    fn from(address: Address) -> Self {
        if address.is_ipv4() {
            Self::V4(Ipv4Addr::from(address.ipv4_word().to_ne_bytes()))
        } else {
            Self::V6(Ipv6Addr::from(address.octets()))
        }
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// A range of addresses inside a map value. IPv4 prefixes are counted in the mapped address, so `/24` is 120 here.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cidr {
    network: Address,
    mask: Address,
}

impl Cidr {
    /// The range which holds nothing: an unused slot.
    pub const NONE: Self = Self { network: Address::UNSPECIFIED, mask: Address::UNSPECIFIED };

    /// `address/prefix_len`, the length counted in the address's own family; host bits of `address` are cleared.
    /// `None` when the length is too great for the family.
    #[must_use]
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let bits = mapped_prefix_len(address, prefix_len)?;
        let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
        let network = u128::from_be_bytes(Address::from(address).octets()) & mask;
        Some(Self {
            network: Address::from_octets(network.to_be_bytes()),
            mask: Address::from_octets(mask.to_be_bytes()),
        })
    }

    /// Whether this slot is unused.
    #[inline(always)]
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.mask.is_unspecified()
    }

    /// Whether `address` is in the range; never for [`Self::NONE`].
    #[inline(always)]
    #[must_use]
    pub const fn contains(&self, address: Address) -> bool {
        let ([n0, n1, n2, n3], [m0, m1, m2, m3]) = (self.network.words, self.mask.words);
        let [a0, a1, a2, a3] = address.words;
        !self.is_none() && ((a0 & m0) ^ n0) | ((a1 & m1) ^ n1) | ((a2 & m2) ^ n2) | ((a3 & m3) ^ n3) == 0
    }
}

/// A prefix length of the address's own family, counted in sixteen bytes (IPv4: + 96).
#[must_use]
pub fn mapped_prefix_len(address: IpAddr, prefix_len: u8) -> Option<u32> {
    match address {
        IpAddr::V4(_) if prefix_len <= 32 => u32::from(prefix_len).checked_add(96),
        IpAddr::V6(_) if prefix_len <= 128 => Some(prefix_len.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests;
