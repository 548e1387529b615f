//! Pod → outside of the cluster, under the node's address; and back. From `uplink_egress` and `uplink_ingress`.

use aya_ebpf::{helpers::generated::bpf_get_prandom_u32, programs::TcContext};
use skep_proxy_ebpf::{
    address::Address,
    maps::{config::NodeConfig, conntrack::KIND_MASQUERADE},
    protocol,
    verdict::DropReason,
};

use super::{
    conntrack::{self, Opened},
    flow,
    flow::Flow,
    icmp_error,
    parse::Packet,
    rewrite,
    service_translate::Translated,
    transport::{self, Kind},
};

/// Ports tried for a new flow: first spread over the range by chance, then one after the other.
const RANDOM_PORTS: u32 = 32;
/// See [`RANDOM_PORTS`].
const PORTS: u32 = 96;

/// Gives a packet of a pod the node's address.
#[inline(never)]
pub(crate) fn outgoing(ctx: &TcContext, packet: &mut Packet, node: &NodeConfig) -> Result<Translated, DropReason> {
    let flow = flow::place()?;
    match transport::of(ctx, packet, flow)? {
        Kind::Flow => {}
        Kind::IcmpError => return icmp_error::translate(ctx, packet, flow, KIND_MASQUERADE),
        Kind::Other => return Ok(Translated::No),
    }
    if !conntrack::find(flow, KIND_MASQUERADE) {
        open(packet, flow, node)?;
    }
    rewrite::tuple(ctx, packet, flow)?;
    Ok(Translated::Yes)
}

/// Finds a free port and remembers the flow.
#[inline(always)]
fn open(packet: &Packet, flow: &mut Flow, node: &NodeConfig) -> Result<(), DropReason> {
    let own = node.own_address(packet.source);
    if own.is_unspecified() {
        return Err(DropReason::NoOverlay);
    }
    let first = u32::from(node.snat_port_min);
    let range = u32::from(node.snat_port_max).wrapping_sub(first).wrapping_add(1) & 0xffff;
    if range == 0 {
        return Err(DropReason::NoPortFree);
    }
    let is_echo = flow.protocol == protocol::ICMP || flow.protocol == protocol::ICMPV6;
    let mut port = random() % range;
    for attempt in 0..PORTS {
        let port_be = ((first + port) as u16).to_be();
        flow.rewritten = flow.tuple.with_source(own, port_be);
        if is_echo {
            flow.rewritten.destination_port_be = port_be;
        }
        match conntrack::open(flow, KIND_MASQUERADE, 0) {
            Opened::Yes => return Ok(()),
            Opened::Taken => {}
            Opened::Full => return Err(DropReason::ConntrackFull),
        }
        port = if attempt < RANDOM_PORTS { random() } else { port + 1 } % range;
    }
    Err(DropReason::NoPortFree)
}

#[inline(always)]
fn random() -> u32 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_get_prandom_u32() }
}

/// Gives a packet from outside the address of the pod it is for.
#[inline(never)]
pub(crate) fn incoming(ctx: &TcContext, packet: &mut Packet, node: &NodeConfig) -> Result<Translated, DropReason> {
    let flow = flow::place()?;
    match transport::of(ctx, packet, flow) {
        Ok(Kind::Flow) => {}
        Ok(Kind::IcmpError) => return icmp_error::translate(ctx, packet, flow, KIND_MASQUERADE),
        // What the programs cannot read is for the node itself.
        Ok(Kind::Other) | Err(_) => return Ok(Translated::No),
    }
    let port = u16::from_be(flow.tuple.destination_port_be);
    if port < node.snat_port_min || port > node.snat_port_max || !conntrack::find(flow, KIND_MASQUERADE) {
        return Ok(Translated::No);
    }
    rewrite::tuple(ctx, packet, flow)?;
    Ok(Translated::Yes)
}

/// Whether packets of pods to `destination` must not show the pod's address, as far as the address itself says.
#[inline(always)]
pub(crate) fn wants(node: &NodeConfig, destination: Address) -> bool {
    node.flags & skep_proxy_ebpf::maps::config::MASQUERADE != 0
        && !destination.is_multicast()
        && !destination.is_link_local_ipv6()
}
