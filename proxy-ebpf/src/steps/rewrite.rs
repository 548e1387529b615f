//! Tuple → other tuple, in the packet and its checksums. From conntrack; to forwarding.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    programs::TcContext,
};
use skep_proxy_ebpf::{
    packet::{checksum, ethernet, icmp, ipv4, ipv6, tcp, tuple::Tuple},
    protocol,
    verdict::DropReason,
};

use super::{
    flow::Flow,
    parse::{Packet, store},
};

/// Makes the packet carry `flow.rewritten`, and says so in `packet`.
#[inline(never)]
pub(crate) fn tuple(ctx: &TcContext, packet: &mut Packet, flow: &Flow) -> Result<(), DropReason> {
    if !flow.is_later_fragment {
        transport_header(ctx, flow)?;
    }
    addresses(ctx, packet.is_ipv4, ethernet::LEN, &flow.tuple, &flow.rewritten)?;
    packet.source = flow.rewritten.source;
    packet.destination = flow.rewritten.destination;
    Ok(())
}

/// The change in the sum of the addresses.
#[inline(always)]
pub(crate) fn address_difference(from: &Tuple, to: &Tuple) -> u32 {
    checksum::difference(
        checksum::address(from.source) + checksum::address(from.destination),
        checksum::address(to.source) + checksum::address(to.destination),
    )
}

/// The change in the sum of the ports.
#[inline(always)]
pub(crate) fn port_difference(from: &Tuple, to: &Tuple) -> u32 {
    checksum::difference(
        u32::from(from.source_port_be) + u32::from(from.destination_port_be),
        u32::from(to.source_port_be) + u32::from(to.destination_port_be),
    )
}

/// Replaces the addresses of the network header at `offset`.
#[inline(always)]
pub(crate) fn addresses(
    ctx: &TcContext,
    is_ipv4: bool,
    offset: u32,
    from: &Tuple,
    to: &Tuple,
) -> Result<(), DropReason> {
    if is_ipv4 {
        ctx.l3_csum_replace((offset + ipv4::CHECKSUM) as usize, 0, address_difference(from, to).into(), 0)
            .map_err(|_| DropReason::RewriteFailed)?;
        store(ctx, offset + ipv4::SOURCE, &[to.source.ipv4_word(), to.destination.ipv4_word()])
    } else {
        let words: [[u32; 4]; 2] = [to.source.words(), to.destination.words()];
        store(ctx, offset + ipv6::SOURCE, &words)
    }
}

#[inline(always)]
fn transport_header(ctx: &TcContext, flow: &Flow) -> Result<(), DropReason> {
    let (from, to) = (&flow.tuple, &flow.rewritten);
    let ports_change = from.source_port_be != to.source_port_be || from.destination_port_be != to.destination_port_be;
    let (checksum_offset, pseudo_header, flags) = match flow.protocol {
        protocol::TCP => (tcp::CHECKSUM, true, 0),
        protocol::UDP => (tcp::UDP_CHECKSUM, true, u64::from(BPF_F_MARK_MANGLED_0)),
        protocol::ICMP => (icmp::CHECKSUM, false, 0),
        protocol::ICMPV6 => (icmp::CHECKSUM, true, 0),
        // The checksum of SCTP covers no addresses, but all of the packet: ports cannot change.
        protocol::SCTP if !ports_change => return Ok(()),
        _ => return Err(DropReason::Untranslatable),
    };
    let checksum_offset = (flow.offset + checksum_offset) as usize;
    let replace = |difference: u32, flags: u64| {
        ctx.l4_csum_replace(checksum_offset, 0, difference.into(), flags).map_err(|_| DropReason::RewriteFailed)
    };
    if pseudo_header {
        replace(address_difference(from, to), flags | u64::from(BPF_F_PSEUDO_HDR))?;
    }
    if !ports_change {
        return Ok(());
    }
    if flow.protocol == protocol::ICMP || flow.protocol == protocol::ICMPV6 {
        // One identifier stands for both ports: the one which changed.
        let identifier =
            if from.source_port_be == to.source_port_be { to.destination_port_be } else { to.source_port_be };
        replace(checksum::difference(from.source_port_be.into(), identifier.into()), flags)?;
        store(ctx, flow.offset + icmp::IDENTIFIER, &identifier)
    } else {
        replace(port_difference(from, to), flags)?;
        store(ctx, flow.offset + tcp::PORTS, &[to.source_port_be, to.destination_port_be])
    }
}
