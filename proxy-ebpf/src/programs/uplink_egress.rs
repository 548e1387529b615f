//! TCX egress of the uplink: pods that leave the cluster get the node's address.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::verdict::{DropReason, Verdict};

use crate::{
    finish,
    steps::{
        forward, masquerade,
        parse::{self, Frame},
        service_translate::Translated,
    },
};

#[classifier]
pub(crate) fn uplink_egress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, egress(&ctx))
}

#[inline(always)]
fn egress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    let (Some(node), Frame::Ip(mut packet)) = (forward::config(), parse::frame(ctx)?) else {
        return Ok(Verdict::Pass);
    };
    // Most packets are the node's own: the overlay's, among others.
    if packet.source == node.own_address(packet.source)
        || !masquerade::wants(node, packet.destination)
        || forward::pod(packet.source).is_none()
        || forward::node(packet.destination).is_some()
    {
        return Ok(Verdict::Pass);
    }
    match masquerade::outgoing(ctx, &mut packet, node)? {
        Translated::Yes => Ok(Verdict::Pass),
        Translated::No | Translated::Refused(_) => Err(DropReason::Untranslatable),
    }
}
