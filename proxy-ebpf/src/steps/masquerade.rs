//! Pod → outside of the cluster, under the node's address; and back. From `uplink_egress` and `uplink_ingress`.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_get_prandom_u32, bpf_loop},
    programs::TcContext,
};
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
    let mut search = Search {
        flow,
        own,
        first,
        range,
        // SAFETY: the helper takes nothing.
        start: unsafe { bpf_get_prandom_u32() } % range,
        result: Opened::Taken,
    };
    let callback: extern "C" fn(u64, *mut Search) -> u64 = try_port;
    // SAFETY: the callback and its context have the shape the helper wants; both live until it returns.
    let tried = unsafe { bpf_loop(range, callback as *mut c_void, (&raw mut search).cast(), 0) };
    match search.result {
        Opened::Yes if tried > 0 => Ok(()),
        Opened::Full => Err(DropReason::ConntrackFull),
        Opened::Yes | Opened::Taken => Err(DropReason::NoPortFree),
    }
}

/// The search for a free port: from a random one on, through the whole range.
struct Search {
    flow: *mut Flow,
    own: Address,
    first: u32,
    range: u32,
    start: u32,
    result: Opened,
}

/// Tries one port; 1 ends the search.
extern "C" fn try_port(index: u64, search: *mut Search) -> u64 {
    // SAFETY: `open` passes a live search with a live flow, which it does not touch meanwhile.
    let search = unsafe { &mut *search };
    // SAFETY: as above.
    let flow = unsafe { &mut *search.flow };
    if search.range == 0 {
        return 1;
    }
    let port = search.first + (search.start + index as u32) % search.range;
    let port_be = (port as u16).to_be();
    flow.rewritten = flow.tuple.with_source(search.own, port_be);
    if flow.protocol == protocol::ICMP || flow.protocol == protocol::ICMPV6 {
        flow.rewritten.destination_port_be = port_be;
    }
    search.result = conntrack::open(flow, KIND_MASQUERADE, 0);
    u64::from(search.result != Opened::Taken)
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
