//! TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260): where their ports and checksums lie; and the refusal of a TCP
//! segment. Pure.

#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "sums of a few 16-bit words cannot overflow 32 bits")
)]

use super::checksum;
use crate::address::Address;

/// Bytes of the header without options.
pub const LEN: u32 = 20;
/// Offset of the checksum in a TCP header.
pub const CHECKSUM: u32 = 16;
/// Offset of the checksum in a UDP header.
pub const UDP_CHECKSUM: u32 = 6;
/// Bytes of a UDP header.
pub const UDP_LEN: u32 = 8;
/// Offset of the source port in all three; the destination port follows it.
pub const PORTS: u32 = 0;

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Opens a connection.
pub const SYN: u8 = 0x02;
/// Breaks a connection.
pub const RST: u8 = 0x04;
/// The acknowledgement number counts.
pub const ACK: u8 = 0x10;

/// Header without options.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Source port, network byte order.
    pub source_port_be: u16,
    /// Destination port, network byte order.
    pub destination_port_be: u16,
    /// Sequence number, network byte order.
    pub sequence_be: u32,
    /// Acknowledgement number, network byte order.
    pub acknowledgement_be: u32,
    /// Header length in words, in the upper half.
    pub data_offset: u8,
    /// [`FIN`], [`SYN`], [`RST`], [`ACK`], …
    pub flags: u8,
    /// Receive window, network byte order.
    pub window_be: u16,
    /// Checksum, as it lies in the packet.
    pub checksum: u16,
    /// Urgent pointer, network byte order.
    pub urgent_be: u16,
}
const _: () = assert!(size_of::<Header>() == LEN as usize);

impl Header {
    /// The segment that refuses this one (RFC 9293, 3.5.2), from the address it was sent to. `payload` = bytes of data it
    /// carried. `None` for a segment that must not be answered: one with RST.
    #[must_use]
    pub const fn refusal(&self, source: Address, destination: Address, payload: u32) -> Option<Self> {
        if self.flags & RST != 0 {
            return None;
        }
        let (sequence_be, acknowledgement_be, flags) = if self.flags & ACK != 0 {
            (self.acknowledgement_be, 0, RST)
        } else {
            let length =
                payload.wrapping_add((self.flags & SYN != 0) as u32).wrapping_add((self.flags & FIN != 0) as u32);
            (0, u32::from_be(self.sequence_be).wrapping_add(length).to_be(), RST | ACK)
        };
        let mut answer = Self {
            source_port_be: self.destination_port_be,
            destination_port_be: self.source_port_be,
            sequence_be,
            acknowledgement_be,
            data_offset: 5 << 4,
            flags,
            window_be: 0,
            checksum: 0,
            urgent_be: 0,
        };
        answer.checksum =
            checksum::finish(answer.sum() + checksum::pseudo_header(destination, source, crate::protocol::TCP, LEN));
        Some(answer)
    }

    /// Sum of the header's words, unfolded.
    const fn sum(&self) -> u32 {
        self.source_port_be as u32
            + self.destination_port_be as u32
            + checksum::words(self.sequence_be)
            + checksum::words(self.acknowledgement_be)
            + u16::from_ne_bytes([self.data_offset, self.flags]) as u32
            + self.window_be as u32
            + self.checksum as u32
            + self.urgent_be as u32
    }
}
