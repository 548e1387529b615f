//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo and errors. Pure.

/// Bytes of the header.
pub const LEN: u32 = 8;
/// Offset of the checksum in the header.
pub const CHECKSUM: u32 = 2;
/// Offset of the identifier of an echo in the header.
pub const IDENTIFIER: u32 = 4;

/// ICMP: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// ICMP: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// ICMP: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// ICMP: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// ICMP: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// ICMP code: port unreachable.
pub const PORT_UNREACHABLE: u8 = 3;

/// ICMPv6: destination unreachable. Errors are the types below 128.
pub const V6_UNREACHABLE: u8 = 1;
/// ICMPv6: echo request.
pub const V6_ECHO_REQUEST: u8 = 128;
/// ICMPv6: echo reply.
pub const V6_ECHO_REPLY: u8 = 129;
/// ICMPv6 code: port unreachable.
pub const V6_PORT_UNREACHABLE: u8 = 4;

/// Header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum, as it lies in the packet.
    pub checksum: u16,
    /// Identifier of an echo, as it lies in the packet.
    pub identifier: u16,
    /// Sequence number of an echo, as it lies in the packet.
    pub sequence: u16,
}
const _: () = assert!(size_of::<Header>() == LEN as usize);

/// What an ICMP message is to the datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question or answer with an identifier.
    Echo,
    /// An error which carries the start of the packet it is about.
    Error,
    /// Anything else: neighbour discovery, router advertisements, …
    Other,
}

impl Header {
    /// What this is, by the rules of ICMPv6 or of ICMP.
    #[inline(always)]
    #[must_use]
    pub const fn class(&self, v6: bool) -> Kind {
        if v6 {
            match self.kind {
                V6_ECHO_REQUEST | V6_ECHO_REPLY => Kind::Echo,
                1..=127 => Kind::Error,
                _ => Kind::Other,
            }
        } else {
            match self.kind {
                ECHO_REQUEST | ECHO_REPLY => Kind::Echo,
                UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM => Kind::Error,
                _ => Kind::Other,
            }
        }
    }
}
