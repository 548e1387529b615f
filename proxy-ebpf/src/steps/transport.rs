//! Packet → its ports. From `parse`; to conntrack. Skips IPv6 extension headers; fragments get the ports of their first.

use aya_ebpf::{bindings::BPF_ANY, programs::TcContext};
use skep_proxy_ebpf::{
    maps::fragment::{FragmentKey, FragmentValue},
    packet::{icmp, ipv6, tcp, tuple::Tuple},
    protocol,
    verdict::DropReason,
};

use super::{
    flow::Flow,
    parse::{Packet, load},
};
use crate::map_statics::FRAGMENTS;

/// Extension headers that are skipped.
const EXTENSIONS: u32 = 4;

/// What a packet is to address translation.
pub(crate) enum Kind {
    /// A flow with ports, or an echo with an identifier in their place.
    Flow,
    /// An ICMP error, at `offset` of the flow.
    IcmpError,
    /// Nothing that has ports.
    Other,
}

/// Reads the transport header into `flow`.
#[inline(never)]
pub(crate) fn of(ctx: &TcContext, packet: &Packet, flow: &mut Flow) -> Result<Kind, DropReason> {
    let mut next_header = packet.next_header;
    let mut offset = packet.next_offset;
    let mut fragment = packet.is_fragment;
    let mut later = packet.is_later_fragment;
    let mut identification = u32::from(packet.identification);
    if !packet.is_ipv4 {
        for _ in 0..EXTENSIONS {
            match next_header {
                ipv6::FRAGMENT => {
                    let header: ipv6::FragmentHeader = load(ctx, offset)?;
                    next_header = header.next_header;
                    fragment = true;
                    later = header.is_later_fragment();
                    identification = header.identification;
                    offset += 8;
                    if later {
                        break;
                    }
                }
                ipv6::HOP_BY_HOP | ipv6::ROUTING | ipv6::DESTINATION_OPTIONS => {
                    let [following, length]: [u8; 2] = load(ctx, offset)?;
                    next_header = following;
                    offset += (u32::from(length) + 1) * 8;
                }
                _ => break,
            }
        }
    }
    let key = FragmentKey {
        source: packet.source,
        destination: packet.destination,
        identification,
        protocol: next_header.into(),
    };
    let ports = if later {
        let Some(first) = FRAGMENTS.get_ptr(key) else {
            return Err(DropReason::FragmentUnknown);
        };
        // SAFETY: a live element; if it is recycled now, the fragment would go astray like any that comes too late.
        let first = unsafe { *first };
        [first.source_port_be, first.destination_port_be]
    } else {
        match next_header {
            protocol::TCP | protocol::UDP | protocol::SCTP => load(ctx, offset)?,
            protocol::ICMP | protocol::ICMPV6 => {
                let header: icmp::Header = load(ctx, offset)?;
                match header.class(next_header == protocol::ICMPV6) {
                    icmp::Kind::Echo => [header.identifier, header.identifier],
                    icmp::Kind::Error => {
                        flow.offset = offset;
                        return Ok(Kind::IcmpError);
                    }
                    icmp::Kind::Other => return Ok(Kind::Other),
                }
            }
            _ => return Ok(Kind::Other),
        }
    };
    let [source_port_be, destination_port_be] = ports;
    if fragment && !later {
        let value = FragmentValue { source_port_be, destination_port_be };
        if FRAGMENTS.insert(key, value, BPF_ANY.into()).is_err() {
            return Err(DropReason::FragmentUnknown);
        }
    }
    let flags = if next_header == protocol::TCP && !later { load::<tcp::Header>(ctx, offset)?.flags } else { 0 };
    flow.tuple = Tuple::new(packet.source, packet.destination, source_port_be, destination_port_be);
    flow.protocol = next_header;
    flow.offset = offset;
    flow.flags = flags;
    flow.is_later_fragment = later;
    Ok(Kind::Flow)
}
