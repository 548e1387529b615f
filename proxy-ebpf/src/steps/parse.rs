//! Packet → its addresses. From every packet program; to the steps after it. Ports come later, and only where needed: see
//! `transport`.

use aya_ebpf::programs::TcContext;
use skep_proxy_ebpf::{
    address::Address,
    packet::{ethernet, ipv4, ipv6},
    verdict::DropReason,
};

/// The network header.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    /// Protocol by the first header; for IPv6 perhaps an extension header.
    pub(crate) next_header: u8,
    pub(crate) is_ipv4: bool,
    /// IPv4: part of a fragmented packet.
    pub(crate) is_fragment: bool,
    /// IPv4: a fragment without the transport header.
    pub(crate) is_later_fragment: bool,
    /// IPv4: identification.
    pub(crate) identification: u16,
    /// Offset of what follows the first header.
    pub(crate) next_offset: u32,
    /// What became of its addresses.
    pub(crate) translation: Translation,
}

/// Which of the tuples in [`super::flow::Flow`] is between the two ends themselves, without a Service's address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Translation {
    /// There is no other.
    None,
    /// Towards a backend: the one the packet leaves with.
    ToBackend,
    /// Back to the client: the one it arrived with.
    ToClient,
    /// An error about a translated flow.
    Error,
}

/// What a frame holds.
pub(crate) enum Frame {
    Ip(Packet),
    Arp,
    Other,
}

/// Reads the headers of the frame.
#[inline(always)]
pub(crate) fn frame(ctx: &TcContext) -> Result<Frame, DropReason> {
    let ethertype_be = ctx.skb.protocol() as u16;
    if ethertype_be == ethernet::IPV4_BE {
        let header: ipv4::Header = load(ctx, ethernet::LEN)?;
        let length = header.length().ok_or(DropReason::Malformed)?;
        Ok(Frame::Ip(Packet {
            source: header.source(),
            destination: header.destination(),
            next_header: header.protocol,
            is_ipv4: true,
            is_fragment: header.is_fragment(),
            is_later_fragment: header.is_later_fragment(),
            identification: header.identification,
            next_offset: ethernet::LEN + length,
            translation: Translation::None,
        }))
    } else if ethertype_be == ethernet::IPV6_BE {
        let header: ipv6::Header = load(ctx, ethernet::LEN)?;
        if !header.is_valid() {
            return Err(DropReason::Malformed);
        }
        Ok(Frame::Ip(Packet {
            source: header.source(),
            destination: header.destination(),
            next_header: header.next_header,
            is_ipv4: false,
            is_fragment: false,
            is_later_fragment: false,
            identification: 0,
            next_offset: ethernet::LEN + ipv6::LEN,
            translation: Translation::None,
        }))
    } else if ethertype_be == ethernet::ARP_BE {
        Ok(Frame::Arp)
    } else {
        Ok(Frame::Other)
    }
}

/// Copies a header out of the packet, which also works where it lies in another page.
#[inline(always)]
pub(crate) fn load<T: Copy>(ctx: &TcContext, offset: u32) -> Result<T, DropReason> {
    ctx.load(offset as usize).map_err(|_| DropReason::Malformed)
}

/// Copies a header into the packet.
#[inline(always)]
pub(crate) fn store<T: Copy>(ctx: &TcContext, offset: u32, header: &T) -> Result<(), DropReason> {
    ctx.store(offset as usize, header, 0).map_err(|_| DropReason::RewriteFailed)
}
