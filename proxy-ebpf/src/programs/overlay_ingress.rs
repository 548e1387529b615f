//! TCX ingress of the overlay device: what other nodes send. To a pod, or to the node itself.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::{
    maps::node::Reach,
    verdict::{DropReason, Verdict},
};

use crate::{
    finish,
    steps::{
        conntrack, forward,
        parse::{self, Frame},
        service_translate,
    },
};

#[classifier]
pub(crate) fn overlay_ingress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, ingress(&ctx))
}

#[inline(always)]
fn ingress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    let mut packet = match parse::frame(ctx)? {
        Frame::Ip(packet) => packet,
        Frame::Arp | Frame::Other => return Err(DropReason::NotForOverlay),
    };
    if conntrack::services_are_translated() {
        service_translate::known_flow(ctx, &mut packet)?;
    }
    if let Some(pod) = forward::pod(packet.destination) {
        return forward::to_pod(ctx, &packet, &pod);
    }
    match forward::node(packet.destination).and_then(|node| node.reach()) {
        Some(Reach::Own) => Ok(Verdict::Pass),
        Some(Reach::LocalPods | Reach::Overlay | Reach::Direct) | None => Err(DropReason::NoSuchPod),
    }
}
