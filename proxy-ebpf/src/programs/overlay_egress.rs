//! TCX egress of the overlay device: packets of pods come with their tunnel key; those of the node's stack get it here.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::{
    maps::node::Reach,
    overlay,
    packet::ethernet,
    verdict::{DropReason, Verdict},
};

use crate::{
    finish,
    steps::{
        forward,
        parse::{self, Frame, store},
    },
};

#[classifier]
pub(crate) fn overlay_egress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, egress(&ctx))
}

#[inline(always)]
fn egress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    // SAFETY: the context is valid while the program runs.
    if unsafe { (*ctx.skb.skb).mark } == overlay::MARK_TUNNEL_KEY_SET {
        // The mark would choose the route of the outer packet.
        ctx.set_mark(0);
        return Ok(Verdict::Pass);
    }
    let Frame::Ip(packet) = parse::frame(ctx)? else {
        return Err(DropReason::NotForOverlay);
    };
    let config = forward::config().ok_or(DropReason::NoOverlay)?;
    let node = forward::node(packet.destination).ok_or(DropReason::NotForOverlay)?;
    if node.reach() != Some(Reach::Overlay) {
        return Err(DropReason::NotForOverlay);
    }
    store(ctx, ethernet::SOURCE, &overlay::NODE_MAC)?;
    forward::set_tunnel_key(ctx, config, node.address())?;
    Ok(Verdict::Pass)
}
