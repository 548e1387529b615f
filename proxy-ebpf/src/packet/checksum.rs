//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Pure.
//!
//! Sums are taken over words as they lie in memory, which works on either byte order as long as the result is stored as a
//! word too. A sum of at most 65536 words fits its 32 bits.

#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "sums of a few 16-bit words cannot overflow 32 bits")
)]

use crate::address::Address;

/// The sum of the two halves of a word.
#[inline(always)]
#[must_use]
pub const fn words(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

/// Folds the carries of a sum into 16 bits.
#[inline(always)]
#[must_use]
pub const fn fold(sum: u32) -> u16 {
    let [_, _, high, low] = words(words(sum)).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// The checksum for a sum: its folded complement.
#[inline(always)]
#[must_use]
pub const fn finish(sum: u32) -> u16 {
    !fold(sum)
}

/// The sum of an address, unfolded.
#[inline(always)]
#[must_use]
pub const fn address(address: Address) -> u32 {
    let [a, b, c, d] = address.words();
    if address.is_ipv4() { words(d) } else { words(a) + words(b) + words(c) + words(d) }
}

/// The sum of the pseudo header of IPv4 or IPv6, unfolded; `length` in bytes, host order, below 65536.
#[inline(always)]
#[must_use]
pub const fn pseudo_header(source: Address, destination: Address, protocol: u8, length: u32) -> u32 {
    address(source)
        + address(destination)
        + (protocol as u16).to_be() as u32
        + ((length & 0xffff) as u16).to_be() as u32
}

/// What must be added to a sum when `old` becomes `new` in the data; both unfolded.
#[inline(always)]
#[must_use]
pub const fn difference(old: u32, new: u32) -> u32 {
    (!fold(old)) as u32 + fold(new) as u32
}

/// The checksum after a change of the data by [`difference`] (RFC 1624, equation 3).
#[inline(always)]
#[must_use]
pub const fn update(checksum: u16, difference: u32) -> u16 {
    finish((!checksum) as u32 + fold(difference) as u32)
}
