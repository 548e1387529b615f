//! Destination → the way there. From the packet programs; to `finish`.

use aya_ebpf::{
    bindings::{BPF_F_TUNINFO_IPV6, BPF_F_ZERO_CSUM_TX, bpf_tunnel_key},
    btf_maps::lpm_trie::Key,
    helpers::generated::bpf_skb_set_tunnel_key,
    programs::TcContext,
};
use skep_proxy_ebpf::{
    address::Address,
    maps::{
        config::{self, NodeConfig},
        node::{NodeKey, NodeValue, Reach},
        pod::{PodKey, PodValue},
    },
    overlay,
    verdict::{DropReason, Verdict},
};

use super::{
    parse::Packet,
    policy::{self, End},
};
use crate::map_statics::{CONFIG, NODES, PODS};

/// Hops a packet may take in the underlay.
const OUTER_TIME_TO_LIVE: u8 = 64;

/// The pod of this node with that address.
#[inline(always)]
pub(crate) fn pod(address: Address) -> Option<PodValue> {
    let value = PODS.get_ptr(PodKey::new(address))?;
    // SAFETY: a live element. If it is recycled now, this one packet goes to a pod that drops it.
    Some(unsafe { *value })
}

/// How an address is reached, unless it is a pod of this node.
#[inline(always)]
pub(crate) fn node(address: Address) -> Option<NodeValue> {
    let value = NODES.get(&Key::new(NodeKey::ALL_BITS, NodeKey::new(address)))?;
    Some(*value)
}

/// Facts of this node; without them the agent has not been here yet, and packets take their usual way.
#[inline(always)]
pub(crate) fn config() -> Option<&'static NodeConfig> {
    CONFIG.get(config::INDEX)
}

/// Where a packet goes.
pub(crate) enum Way {
    Go(Verdict),
    /// To the pod that is there, or to none.
    PodOfThisNode,
    /// To no pod and no node: a Service, or the world.
    Elsewhere,
}

/// The way to a pod or a node beyond the pods of this node.
#[inline(always)]
pub(crate) fn beyond(ctx: &TcContext, destination: Address) -> Result<Way, DropReason> {
    let Some(value) = node(destination) else {
        return Ok(Way::Elsewhere);
    };
    match value.reach() {
        Some(Reach::Overlay) => tunnel(ctx, value.address()).map(Way::Go),
        Some(Reach::LocalPods) => Ok(Way::PodOfThisNode),
        Some(Reach::Own | Reach::Direct) | None => Ok(Way::Go(Verdict::Pass)),
    }
}

/// Into the tunnel to the node `remote`.
#[inline(always)]
fn tunnel(ctx: &TcContext, remote: Address) -> Result<Verdict, DropReason> {
    let node = config().ok_or(DropReason::NoOverlay)?;
    if node.overlay_ifindex == 0 {
        return Err(DropReason::NoOverlay);
    }
    set_tunnel_key(ctx, node, remote)?;
    ctx.set_mark(overlay::MARK_TUNNEL_KEY_SET);
    Ok(Verdict::ToDevice { ifindex: node.overlay_ifindex })
}

/// Tells the overlay device where the packet goes.
#[inline(always)]
pub(crate) fn set_tunnel_key(ctx: &TcContext, node: &NodeConfig, remote: Address) -> Result<(), DropReason> {
    // SAFETY: a structure of integers, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { core::mem::zeroed() };
    key.tunnel_id = node.vni;
    key.tunnel_ttl = OUTER_TIME_TO_LIVE;
    let flags = if remote.is_ipv4() {
        key.__bindgen_anon_1.remote_ipv4 = u32::from_be(remote.ipv4_word());
        // The inner packet has a checksum of its own, and the frame as well.
        BPF_F_ZERO_CSUM_TX
    } else {
        key.__bindgen_anon_1.remote_ipv6 = remote.words();
        BPF_F_TUNINFO_IPV6
    };
    // SAFETY: the key lives on the stack and has the size that is given.
    let result =
        unsafe { bpf_skb_set_tunnel_key(ctx.skb.skb, &raw mut key, size_of::<bpf_tunnel_key>() as u32, flags.into()) };
    if result == 0 { Ok(()) } else { Err(DropReason::TunnelFailed) }
}

/// To a pod of this node, if its policies let the packet in.
#[inline(always)]
pub(crate) fn to_pod(ctx: &TcContext, packet: &Packet, pod: &PodValue) -> Result<Verdict, DropReason> {
    policy::check(ctx, packet, pod, End::Receiver)?;
    Ok(Verdict::ToPod { ifindex: pod.ifindex() })
}
