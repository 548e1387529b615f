//! Service address → backend, for packets of sockets that never met the socket hooks. From `pod_egress`; to forwarding.

use aya_ebpf::programs::TcContext;
use skep_proxy_ebpf::{
    maps::{
        conntrack::KIND_SERVICE,
        service::{SCOPE_CLUSTER, ServiceKey},
    },
    packet::tcp,
    protocol,
    verdict::DropReason,
};

use super::{
    backend_select::{self, Selection},
    connection_count, conntrack,
    conntrack::Opened,
    flow,
    flow::Flow,
    icmp_error,
    parse::{Packet, Translation},
    rewrite,
    service_lookup::{self, Lookup},
    transport::{self, Kind},
};

/// What became of a packet.
pub(crate) enum Translated {
    /// It carries other addresses now.
    Yes,
    /// No Service has anything to do with it.
    No,
    /// The Service cannot serve: the client is told so.
    Refused(DropReason),
}

/// Rewrites a packet of a flow that is known.
#[inline(never)]
pub(crate) fn known_flow(ctx: &TcContext, packet: &mut Packet) -> Result<Translated, DropReason> {
    let flow = flow::place()?;
    match transport::of(ctx, packet, flow) {
        Ok(Kind::Flow) => known(ctx, packet, flow),
        Ok(Kind::IcmpError) => icmp_error::translate(ctx, packet, flow, KIND_SERVICE),
        // Fragments of flows that are not translated leave no trace.
        Ok(Kind::Other) | Err(DropReason::FragmentUnknown) => Ok(Translated::No),
        Err(reason) => Err(reason),
    }
}

#[inline(always)]
fn known(ctx: &TcContext, packet: &mut Packet, flow: &mut Flow) -> Result<Translated, DropReason> {
    if !conntrack::find(flow, KIND_SERVICE) {
        if flow.flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
            conntrack::make_way(flow);
        }
        return Ok(Translated::No);
    }
    rewrite::tuple(ctx, packet, flow)?;
    packet.translation = if flow.is_reply { Translation::ToClient } else { Translation::ToBackend };
    Ok(Translated::Yes)
}

/// Translates the first packet to a Service; `known_flow` has been asked before.
#[inline(never)]
pub(crate) fn to_service(ctx: &TcContext, packet: &mut Packet) -> Result<Translated, DropReason> {
    let flow = flow::place()?;
    match transport::of(ctx, packet, flow)? {
        Kind::Flow => {}
        Kind::IcmpError | Kind::Other => return Ok(Translated::No),
    }
    let (destination, port_be) = (flow.tuple.destination, flow.tuple.destination_port_be);
    let key = ServiceKey::from_wire(destination, port_be, flow.protocol, SCOPE_CLUSTER);
    if flow.protocol == protocol::ICMP || flow.protocol == protocol::ICMPV6 {
        // A ClusterIP is no host that answers; other addresses are none of ours.
        return match service_lookup::find(&key) {
            Lookup::Value(_) | Lookup::NotAService => Ok(Translated::No),
            Lookup::NoSuchPort => Err(DropReason::Untranslatable),
            Lookup::NoSuchService => Err(DropReason::NoSuchService),
        };
    }
    let choice = match backend_select::select(&key, None) {
        Selection::NotAService => return Ok(Translated::No),
        Selection::Backend(choice) => choice,
        Selection::None(reason @ (DropReason::NoSuchService | DropReason::NoLocalBackend), _) => return Err(reason),
        Selection::None(reason, service_id) => {
            connection_count::refused(service_id);
            return Ok(Translated::Refused(reason));
        }
    };
    flow.rewritten = flow.tuple.with_destination(choice.address, choice.port_be);
    if choice.address == flow.tuple.source {
        // A pod that reaches itself: were the source its own address, it would not accept the packet.
        flow.rewritten = flow.rewritten.with_source(destination, flow.tuple.source_port_be);
    }
    match conntrack::open(flow, KIND_SERVICE, choice.service_id) {
        Opened::Yes => {}
        // The client uses one source port for two Services with the same backend.
        Opened::Taken => return Err(DropReason::NoPortFree),
        Opened::Full => return Err(DropReason::ConntrackFull),
    }
    rewrite::tuple(ctx, packet, flow)?;
    packet.translation = Translation::ToBackend;
    Ok(Translated::Yes)
}
