//! TCX egress of the host side of a pod's veth: what the node's stack sends to the pod. Packets of other pods do not come
//! by here; answers of the node itself to a translated flow do.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::verdict::{DropReason, Verdict};

use crate::{
    finish,
    steps::{
        conntrack, forward,
        parse::{self, Frame},
        policy::{self, End},
        service_translate,
    },
};

#[classifier]
pub(crate) fn pod_ingress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, ingress(&ctx))
}

#[inline(always)]
fn ingress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    let services = conntrack::services_are_translated();
    if !services && !policy::is_in_force() {
        return Ok(Verdict::Pass);
    }
    if let Frame::Ip(mut packet) = parse::frame(ctx)? {
        if services {
            service_translate::known_flow(ctx, &mut packet)?;
        }
        // Link-local is the gateway's word about itself; a pod's packets never come from such an address.
        if let Some(pod) = forward::pod(packet.destination).filter(|_| !packet.source.is_link_local_ipv6()) {
            policy::check(ctx, &packet, &pod, End::Receiver)?;
        }
    }
    Ok(Verdict::Pass)
}
