//! TCX egress of the host side of a pod's veth: what the node's stack sends to the pod. Packets of other pods do not come
//! by here; answers of the node itself to a translated flow do.

use aya_ebpf::{macros::classifier, programs::TcContext};
use skep_proxy_ebpf::verdict::{DropReason, Verdict};

use crate::{
    finish,
    steps::{
        conntrack,
        parse::{self, Frame},
        service_translate,
    },
};

#[classifier]
pub(crate) fn pod_ingress(ctx: TcContext) -> i32 {
    finish::packet(&ctx, ingress(&ctx))
}

#[inline(always)]
fn ingress(ctx: &TcContext) -> Result<Verdict, DropReason> {
    if conntrack::services_are_translated() {
        if let Frame::Ip(mut packet) = parse::frame(ctx)? {
            service_translate::known_flow(ctx, &mut packet)?;
        }
    }
    Ok(Verdict::Pass)
}
