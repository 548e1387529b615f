//! Neighbour discovery (RFC 4861): the question for an address and the answer. Pure.

#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "sums of a few 16-bit words cannot overflow 32 bits")
)]

use super::checksum;
use crate::{address::Address, protocol};

/// ICMPv6 type of a neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// ICMPv6 type of a neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;

/// A solicitation or advertisement with one link-layer address option.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// [`SOLICITATION`] or [`ADVERTISEMENT`].
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Checksum, as it lies in the packet.
    pub checksum: u16,
    /// Flags of an advertisement, network byte order.
    pub flags_be: u32,
    /// The address in question, words in network byte order.
    pub target: [u32; 4],
    /// 1 source, 2 target link-layer address.
    pub option: u8,
    /// 1: in units of eight bytes.
    pub option_length: u8,
    /// The link-layer address.
    pub mac: [u8; 6],
}
const _: () = assert!(size_of::<Message>() == 32);

/// Bytes of a [`Message`].
pub const LEN: u32 = 32;

/// Solicited and override.
const SOLICITED_OVERRIDE: u32 = 0x6000_0000;

impl Message {
    /// The answer of the node that has `target` under `mac`, sent from `target` to `asker`.
    #[must_use]
    pub const fn advertisement(target: Address, asker: Address, mac: [u8; 6]) -> Self {
        let mut answer = Self {
            kind: ADVERTISEMENT,
            code: 0,
            checksum: 0,
            flags_be: SOLICITED_OVERRIDE.to_be(),
            target: target.words(),
            option: 2,
            option_length: 1,
            mac,
        };
        let [a, b, c, d, e, f] = mac;
        let sum = u16::from_ne_bytes([ADVERTISEMENT, 0]) as u32
            + checksum::words(answer.flags_be)
            + checksum::address(target)
            + u16::from_ne_bytes([2, 1]) as u32
            + u16::from_ne_bytes([a, b]) as u32
            + u16::from_ne_bytes([c, d]) as u32
            + u16::from_ne_bytes([e, f]) as u32;
        answer.checksum = checksum::finish(sum + checksum::pseudo_header(target, asker, protocol::ICMPV6, LEN));
        answer
    }
}
