//! TCX ingress of the host side of a pod's veth: what the pod sends. To another pod, into the tunnel, or to the stack.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::verdict::{DropReason, Verdict};

use crate::{
    finish,
    steps::{
        conntrack, forward,
        forward::Way,
        neighbour_answer,
        parse::{self, Frame, Packet},
        refuse,
        service_translate::{self, Translated},
    },
};

#[classifier]
pub(crate) fn pod_egress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, egress(&ctx))
}

#[inline(always)]
fn egress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    let mut packet = match parse::frame(ctx)? {
        Frame::Ip(packet) => packet,
        Frame::Arp => return neighbour_answer::arp(ctx),
        Frame::Other => return Ok(Verdict::Pass),
    };
    if packet.destination.is_multicast() || packet.destination.is_link_local_ipv6() {
        return on_link(ctx, &packet);
    }
    // SAFETY: the context is valid while the program runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    if !forward::pod(packet.source).is_some_and(|pod| pod.ifindex() == ifindex) {
        return Err(DropReason::Spoofed);
    }
    if conntrack::services_are_translated() {
        if let Translated::Yes = service_translate::known_flow(ctx, &mut packet)? {
            return translated(ctx, &packet);
        }
    }
    if let Way::Go(verdict) = forward::inside(ctx, packet.destination)? {
        return Ok(verdict);
    }
    match service_translate::to_service(ctx, &mut packet)? {
        Translated::Yes => translated(ctx, &packet),
        Translated::No => Ok(Verdict::Pass),
        Translated::Refused(reason) => {
            let bytes = ctx.len();
            let verdict = refuse::answer(ctx, &packet, reason)?;
            finish::count(reason, bytes);
            Ok(verdict)
        }
    }
}

#[inline(always)]
fn translated(ctx: &TcContext, packet: &Packet) -> Result<Verdict, DropReason> {
    match forward::inside(ctx, packet.destination)? {
        Way::Go(verdict) => Ok(verdict),
        Way::Elsewhere => Ok(Verdict::Pass),
    }
}

/// What is for the link itself: the search for the gateway is answered, the rest is the stack's.
#[inline(always)]
fn on_link(ctx: &TcContext, packet: &Packet) -> Result<Verdict, DropReason> {
    Ok(neighbour_answer::solicitation(ctx, packet)?.unwrap_or(Verdict::Pass))
}
