//! ARP for IPv4 over Ethernet (RFC 826). Pure.

/// Operation: who has that address?
pub const REQUEST_BE: u16 = 1_u16.to_be();
/// Operation: I have it.
pub const REPLY_BE: u16 = 2_u16.to_be();

/// A whole ARP packet.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Packet {
    /// Hardware type, 1 for Ethernet; network byte order.
    pub hardware_be: u16,
    /// Protocol type, 0x0800 for IPv4; network byte order.
    pub protocol_be: u16,
    /// 6 for Ethernet.
    pub hardware_length: u8,
    /// 4 for IPv4.
    pub protocol_length: u8,
    /// [`REQUEST_BE`] or [`REPLY_BE`].
    pub operation_be: u16,
    /// Who asks or answers.
    pub sender_mac: [u8; 6],
    /// Who asks or answers.
    pub sender: [u8; 4],
    /// Unknown in a request.
    pub target_mac: [u8; 6],
    /// Who is asked for.
    pub target: [u8; 4],
}
const _: () = assert!(size_of::<Packet>() == 28);

impl Packet {
    /// Whether this asks for an IPv4 address on Ethernet.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.hardware_be == 1_u16.to_be() && self.protocol_be == 0x0800_u16.to_be() && self.operation_be == REQUEST_BE
    }

    /// The answer: `mac` has the address that was asked for.
    #[must_use]
    pub const fn answer(&self, mac: [u8; 6]) -> Self {
        Self {
            operation_be: REPLY_BE,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
            ..*self
        }
    }
}
