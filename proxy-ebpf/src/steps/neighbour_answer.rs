//! "Who is my gateway?" → the host side of the veth. From `pod_egress`; back to the pod. Pods have a permanent entry; this
//! answers for those who lost it.

use aya_ebpf::programs::TcContext;
use skep_proxy_ebpf::{
    address::Address,
    overlay,
    packet::{arp, ethernet, ipv6, neighbour},
    protocol,
    verdict::{DropReason, Verdict},
};

use super::parse::{Packet, load, store};

/// Answers a pod's ARP request; other ARP is dropped without counting, which ARP of pods (probes, announcements) is.
#[inline(never)]
pub(crate) fn arp(ctx: &TcContext) -> Result<Verdict, DropReason> {
    let packet: arp::Packet = load(ctx, ethernet::LEN)?;
    if !packet.is_request() || packet.target == packet.sender || packet.target != overlay::GATEWAY_IPV4.octets() {
        return Ok(Verdict::Pass);
    }
    let asker = packet.sender_mac;
    store(ctx, ethernet::LEN, &packet.answer(overlay::GATEWAY_MAC))?;
    answer(ctx, asker)
}

/// Answers a pod's solicitation for the gateway; `None` when the packet is something else.
#[inline(never)]
pub(crate) fn solicitation(ctx: &TcContext, packet: &Packet) -> Result<Option<Verdict>, DropReason> {
    if packet.is_ipv4 || packet.next_header != protocol::ICMPV6 {
        return Ok(None);
    }
    let Ok(message) = load::<neighbour::Message>(ctx, packet.next_offset) else {
        return Ok(None);
    };
    let gateway = Address::from_octets(overlay::GATEWAY_IPV6.octets());
    let from_somebody = !packet.source.is_unspecified() && message.option == 1 && message.option_length == 1;
    if message.kind != neighbour::SOLICITATION || message.target != gateway.words() || !from_somebody {
        return Ok(None);
    }
    let advertisement = neighbour::Message::advertisement(gateway, packet.source, overlay::GATEWAY_MAC);
    store(ctx, packet.next_offset, &advertisement)?;
    store(ctx, ethernet::LEN + ipv6::SOURCE, &[gateway.words(), packet.source.words()])?;
    answer(ctx, message.mac).map(Some)
}

/// Sends the frame back where it came from.
#[inline(always)]
fn answer(ctx: &TcContext, asker: [u8; 6]) -> Result<Verdict, DropReason> {
    store(ctx, ethernet::DESTINATION, &asker)?;
    store(ctx, ethernet::SOURCE, &overlay::GATEWAY_MAC)?;
    // SAFETY: the context is valid while the program runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    Ok(Verdict::ToDevice { ifindex })
}
