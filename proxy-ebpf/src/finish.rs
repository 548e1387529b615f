//! Verdict → answer to the kernel, once per hook type, and the count of what was dropped. From programs; to the kernel.

use aya_ebpf::{
    helpers::generated::{bpf_redirect, bpf_redirect_peer, bpf_set_retval},
    programs::TcContext,
};
use skep_proxy_ebpf::verdict::{DropReason, SocketVerdict, Verdict};

use crate::map_statics::DROP_COUNT;

/// A cgroup program's answer: the call goes on.
const PROCEED: i32 = 1;
/// A cgroup program's answer: the call fails with what `bpf_set_retval` says.
const FAIL: i32 = 0;

const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;

/// Ends `socket_connect*` and `socket_sendmsg*`.
#[inline(always)]
pub(crate) fn socket(verdict: SocketVerdict) -> i32 {
    let (reason, errno) = match verdict {
        SocketVerdict::Allow => return PROCEED,
        SocketVerdict::Refuse(reason) => (reason, ECONNREFUSED),
        SocketVerdict::Unreachable(reason) => (reason, EHOSTUNREACH),
    };
    count(reason, 0);
    // SAFETY: the helper takes a number.
    unsafe { bpf_set_retval(-errno) };
    FAIL
}

/// Counts a drop of `bytes`.
#[inline(always)]
pub(crate) fn count(reason: DropReason, bytes: u32) {
    if let Some(count) = DROP_COUNT.get_ptr_mut(reason.index()) {
        // SAFETY: an element of a per-CPU array: nobody else writes to this CPU's slot while a program runs on it.
        let count = unsafe { &mut *count };
        count.packets = count.packets.wrapping_add(1);
        count.bytes = count.bytes.wrapping_add(bytes.into());
    }
}

/// A packet program's answer: nothing to say, so programs behind this one and the stack decide.
const CONTINUE: i32 = -1;
/// A packet program's answer: the packet ends here.
const DROP: i32 = 2;

/// Ends every packet program.
#[inline(always)]
pub(crate) fn packet(ctx: &TcContext, outcome: Result<Verdict, DropReason>) -> i32 {
    match outcome {
        Ok(Verdict::Pass) => CONTINUE,
        // SAFETY: the helpers take numbers.
        Ok(Verdict::ToPod { ifindex }) => unsafe { bpf_redirect_peer(ifindex, 0) as i32 },
        // SAFETY: as above.
        Ok(Verdict::ToDevice { ifindex }) => unsafe { bpf_redirect(ifindex, 0) as i32 },
        Err(reason) => {
            count(reason, ctx.len());
            DROP
        }
    }
}
