//! A packet to a Service that cannot serve → the refusal its sender understands: TCP reset, else ICMP port unreachable.
//! From `pod_egress`; back to the pod.

use aya_ebpf::{
    helpers::generated::{bpf_skb_change_tail, bpf_skb_load_bytes},
    programs::TcContext,
};
use skep_proxy_ebpf::{
    address::Address,
    overlay,
    packet::{checksum, ethernet, icmp, ipv4, ipv6, tcp},
    protocol,
    verdict::{DropReason, Verdict},
};

use super::{
    flow,
    flow::Flow,
    parse::{Packet, load, store},
};

/// Bytes of the refused packet which an ICMP error carries: its header and eight more.
const QUOTED_V4: usize = (ipv4::LEN + 8) as usize;
/// The same for IPv6.
const QUOTED_V6: usize = (ipv6::LEN + 8) as usize;
const _: () = assert!(QUOTED_V6 == 2 * 24);

/// Makes the packet its own refusal. `reason` is returned where no answer may be given.
#[inline(never)]
pub(crate) fn answer(ctx: &TcContext, packet: &Packet, reason: DropReason) -> Result<Verdict, DropReason> {
    // `to_service` has just filled it.
    let flow = flow::place()?;
    if flow.is_later_fragment {
        return Err(reason);
    }
    let asker: ethernet::Header = load(ctx, 0)?;
    if flow.protocol == protocol::TCP {
        reset(ctx, packet, flow.offset, reason)?;
    } else {
        unreachable(ctx, packet, flow, reason)?;
    }
    let ethertype_be = if packet.is_ipv4 { ethernet::IPV4_BE } else { ethernet::IPV6_BE };
    store(ctx, 0, &ethernet::Header { destination: asker.source, source: overlay::GATEWAY_MAC, ethertype_be })?;
    // SAFETY: the context is valid while the program runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    Ok(Verdict::ToDevice { ifindex })
}

#[inline(never)]
fn reset(ctx: &TcContext, packet: &Packet, offset: u32, reason: DropReason) -> Result<(), DropReason> {
    let segment: tcp::Header = load(ctx, offset)?;
    let carried = ctx.len().wrapping_sub(offset).wrapping_sub(u32::from(segment.data_offset >> 4) * 4);
    let refusal = segment.refusal(packet.source, packet.destination, carried).ok_or(reason)?;
    let header = network_header(ctx, packet, protocol::TCP, tcp::LEN)?;
    store(ctx, header, &refusal)
}

#[inline(never)]
fn unreachable(ctx: &TcContext, packet: &Packet, flow: &mut Flow, reason: DropReason) -> Result<(), DropReason> {
    if packet.is_ipv4 {
        if packet.next_offset != ethernet::LEN + ipv4::LEN {
            return Err(reason);
        }
        quote(ctx, flow, QUOTED_V4)?;
        let Some(quoted) = flow.quoted.first_chunk::<{ QUOTED_V4 / 2 }>() else {
            return Err(reason);
        };
        let mut header = icmp::Header {
            kind: icmp::UNREACHABLE,
            code: icmp::PORT_UNREACHABLE,
            checksum: 0,
            identifier: 0,
            sequence: 0,
        };
        header.checksum = checksum::finish(sum(quoted) + kind_and_code(&header));
        let offset = network_header(ctx, packet, protocol::ICMP, icmp::LEN + QUOTED_V4 as u32)?;
        store(ctx, offset, &header)?;
        store(ctx, offset + icmp::LEN, quoted)
    } else {
        quote(ctx, flow, QUOTED_V6)?;
        let quoted = &flow.quoted;
        let mut header = icmp::Header {
            kind: icmp::V6_UNREACHABLE,
            code: icmp::V6_PORT_UNREACHABLE,
            checksum: 0,
            identifier: 0,
            sequence: 0,
        };
        let length = icmp::LEN + QUOTED_V6 as u32;
        header.checksum = checksum::finish(
            sum(quoted)
                + kind_and_code(&header)
                + checksum::pseudo_header(packet.destination, packet.source, protocol::ICMPV6, length),
        );
        let offset = network_header(ctx, packet, protocol::ICMPV6, length)?;
        store(ctx, offset, &header)?;
        store(ctx, offset + icmp::LEN, quoted)
    }
}

/// Copies the start of the refused packet to where an error carries it from.
#[inline(always)]
fn quote(ctx: &TcContext, flow: &mut Flow, length: usize) -> Result<(), DropReason> {
    let place = flow.quoted.as_mut_ptr().cast();
    // SAFETY: `length` is at most the size of `quoted`.
    let result = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), ethernet::LEN, place, length as u32) };
    if result == 0 { Ok(()) } else { Err(DropReason::Malformed) }
}

#[inline(always)]
fn sum<const N: usize>(words: &[u16; N]) -> u32 {
    words.iter().fold(0, |sum, word| sum + u32::from(*word))
}

#[inline(always)]
fn kind_and_code(header: &icmp::Header) -> u32 {
    u16::from_ne_bytes([header.kind, header.code]).into()
}

/// Cuts or stretches the frame to `length` bytes after a new network header from the refused destination to the sender;
/// the offset behind that header.
#[inline(always)]
fn network_header(ctx: &TcContext, packet: &Packet, protocol: u8, length: u32) -> Result<u32, DropReason> {
    let header = if packet.is_ipv4 { ipv4::LEN } else { ipv6::LEN };
    let offset = ethernet::LEN + header;
    // SAFETY: the helper takes the context and numbers.
    let resized = unsafe { bpf_skb_change_tail(ctx.skb.skb, offset + length, 0) };
    if resized != 0 {
        return Err(DropReason::RewriteFailed);
    }
    let (source, destination): (Address, Address) = (packet.destination, packet.source);
    if packet.is_ipv4 {
        let header = ipv4::Header {
            version_length: 0x45,
            service: 0,
            total_length_be: ((header + length) as u16).to_be(),
            identification: 0,
            fragment_be: 0x4000_u16.to_be(),
            time_to_live: 64,
            protocol,
            checksum: 0,
            source_be: source.ipv4_word(),
            destination_be: destination.ipv4_word(),
        };
        store(ctx, ethernet::LEN, &header.with_checksum())?;
    } else {
        let header = ipv6::Header {
            version_class_flow_be: 0x6000_0000_u32.to_be(),
            payload_length_be: (length as u16).to_be(),
            next_header: protocol,
            hop_limit: 64,
            source: source.words(),
            destination: destination.words(),
        };
        store(ctx, ethernet::LEN, &header)?;
    }
    Ok(offset)
}
