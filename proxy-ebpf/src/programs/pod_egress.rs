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
        policy::{self, End},
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
    let Some(pod) = forward::pod(packet.source).filter(|pod| pod.ifindex() == ifindex) else {
        return Err(DropReason::Spoofed);
    };
    let is_known = conntrack::services_are_translated()
        && matches!(service_translate::known_flow(ctx, &mut packet)?, Translated::Yes);
    let receiver = match forward::pod(packet.destination) {
        Some(pod) => pod,
        None => {
            let mut way = forward::beyond(ctx, packet.destination)?;
            if !is_known && matches!(way, Way::Elsewhere) {
                match service_translate::to_service(ctx, &mut packet)? {
                    Translated::Yes => way = forward::beyond(ctx, packet.destination)?,
                    Translated::No => {}
                    Translated::Refused(reason) => {
                        let bytes = ctx.len();
                        let verdict = refuse::answer(ctx, &packet, reason)?;
                        finish::count(reason, bytes);
                        return Ok(verdict);
                    }
                }
            }
            if !matches!(way, Way::PodOfThisNode) {
                policy::check(ctx, &packet, &pod, End::Sender)?;
                return Ok(if let Way::Go(verdict) = way { verdict } else { Verdict::Pass });
            }
            forward::pod(packet.destination).ok_or(DropReason::NoSuchPod)?
        }
    };
    // Nobody is kept from himself.
    if receiver.ifindex() != ifindex {
        policy::check(ctx, &packet, &pod, End::Sender)?;
        policy::check(ctx, &packet, &receiver, End::Receiver)?;
    }
    Ok(Verdict::ToPod { ifindex: receiver.ifindex() })
}

/// What is for the link itself: the search for the gateway is answered, the rest is the stack's.
#[inline(always)]
fn on_link(ctx: &TcContext, packet: &Packet) -> Result<Verdict, DropReason> {
    Ok(neighbour_answer::solicitation(ctx, packet)?.unwrap_or(Verdict::Pass))
}
