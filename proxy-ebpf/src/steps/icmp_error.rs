//! ICMP error about a translated flow → the same error about what its receiver sent. From conntrack's users; to
//! forwarding. Without it path MTU discovery fails through every Service and every masquerade.

use aya_ebpf::{bindings::BPF_F_PSEUDO_HDR, programs::TcContext};
use skep_proxy_ebpf::{
    maps::conntrack::ConntrackKey,
    packet::{ethernet, icmp, ipv4, ipv6, tcp, tuple::Tuple},
    protocol,
    verdict::DropReason,
};

use super::{
    conntrack,
    flow::Flow,
    parse::{Packet, Translation, load, store},
    rewrite,
    service_translate::Translated,
};

/// Rewrites the error at `flow.offset`: the packet inside it, and whom it is for.
#[inline(never)]
pub(crate) fn translate(
    ctx: &TcContext,
    packet: &mut Packet,
    flow: &mut Flow,
    kind: u8,
) -> Result<Translated, DropReason> {
    let offset = flow.offset;
    let inner = offset + icmp::LEN;
    let (source, destination, inner_protocol, ports_offset) = if packet.is_ipv4 {
        let header: ipv4::Header = load(ctx, inner)?;
        let length = header.length().ok_or(DropReason::Malformed)?;
        if header.is_later_fragment() {
            return Ok(Translated::No);
        }
        (header.source(), header.destination(), header.protocol, inner + length)
    } else {
        let header: ipv6::Header = load(ctx, inner)?;
        (header.source(), header.destination(), header.next_header, inner + ipv6::LEN)
    };
    if inner_protocol != protocol::TCP && inner_protocol != protocol::UDP {
        return Ok(Translated::No);
    }
    let [source_port_be, destination_port_be]: [u16; 2] = load(ctx, ports_offset + tcp::PORTS)?;
    // The packet inside went the other way: its answer would have the reversed tuple, and that is what is known.
    flow.tuple = Tuple::new(source, destination, source_port_be, destination_port_be);
    flow.key = ConntrackKey::new(flow.tuple.reversed(), inner_protocol, kind);
    let Some(answer) = conntrack::peek(flow) else {
        return Ok(Translated::No);
    };
    flow.rewritten = answer.reversed();
    let checksum_offset = (offset + icmp::CHECKSUM) as usize;
    let replace = |difference: u32, flags: u64| {
        ctx.l4_csum_replace(checksum_offset, 0, difference.into(), flags).map_err(|_| DropReason::RewriteFailed)
    };
    // Inside: an IPv4 header and its checksum change by opposite amounts; an IPv6 header has none.
    rewrite::addresses(ctx, packet.is_ipv4, inner, &flow.tuple, &flow.rewritten)?;
    if !packet.is_ipv4 {
        replace(rewrite::address_difference(&flow.tuple, &flow.rewritten), 0)?;
    }
    replace(rewrite::port_difference(&flow.tuple, &flow.rewritten), 0)?;
    let ports = [flow.rewritten.source_port_be, flow.rewritten.destination_port_be];
    store(ctx, ports_offset + tcp::PORTS, &ports)?;
    // Outside: it goes to whoever sent the packet inside; if the far end itself complains, under the name it was dialled by.
    let far_end = packet.source == flow.tuple.destination;
    flow.tuple.source = packet.source;
    flow.tuple.destination = packet.destination;
    let sender = flow.rewritten.source;
    flow.rewritten.source = if far_end { flow.rewritten.destination } else { packet.source };
    flow.rewritten.destination = sender;
    if !packet.is_ipv4 {
        replace(rewrite::address_difference(&flow.tuple, &flow.rewritten), BPF_F_PSEUDO_HDR.into())?;
    }
    rewrite::addresses(ctx, packet.is_ipv4, ethernet::LEN, &flow.tuple, &flow.rewritten)?;
    packet.source = flow.rewritten.source;
    packet.destination = flow.rewritten.destination;
    packet.translation = Translation::Error;
    Ok(Translated::Yes)
}
