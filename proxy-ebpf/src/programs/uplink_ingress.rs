//! TCX ingress of the uplink: answers to what pods sent outside go back to them.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::verdict::{DropReason, Verdict};

use crate::{
    finish,
    steps::{
        conntrack, forward, masquerade,
        parse::{self, Frame},
        service_translate::{self, Translated},
    },
};

#[classifier]
pub(crate) fn uplink_ingress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, ingress(&ctx))
}

#[inline(always)]
fn ingress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    let Some(node) = forward::config() else {
        return Ok(Verdict::Pass);
    };
    // What the programs cannot read is for the stack to judge.
    let Ok(Frame::Ip(mut packet)) = parse::frame(ctx) else {
        return Ok(Verdict::Pass);
    };
    if packet.destination != node.own_address(packet.destination) {
        return Ok(Verdict::Pass);
    }
    if !matches!(masquerade::incoming(ctx, &mut packet, node)?, Translated::Yes) {
        return Ok(Verdict::Pass);
    }
    if conntrack::services_are_translated() {
        service_translate::known_flow(ctx, &mut packet)?;
    }
    match forward::pod(packet.destination) {
        Some(pod) => forward::to_pod(ctx, &packet, &pod),
        None => Err(DropReason::NoSuchPod),
    }
}
