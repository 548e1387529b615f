//! cgroup connect4/6: a socket is connected. The frontend is replaced here, once; no packet of the connection is touched.

use aya_ebpf::{helpers::generated::bpf_ktime_get_coarse_ns, macros::cgroup_sock_addr, programs::SockAddrContext};
use skep_proxy_ebpf::{
    address::Address,
    maps::socket_origin::SocketOrigin,
    verdict::{DropReason, SocketVerdict},
};

use crate::{
    finish,
    map_statics::SOCKET_ORIGIN,
    steps::{
        backend_select::{self, Choice, Selection},
        connection_count,
        socket_address::{self, Family},
    },
};

#[cgroup_sock_addr(connect4)]
pub(crate) fn socket_connect4(ctx: SockAddrContext) -> i32 {
    finish::socket(connect(&ctx, Family::V4))
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn socket_connect6(ctx: SockAddrContext) -> i32 {
    finish::socket(connect(&ctx, Family::V6))
}

#[inline(always)]
fn connect(ctx: &SockAddrContext, family: Family) -> SocketVerdict {
    let Some(frontend) = socket_address::frontend(ctx, family) else {
        return SocketVerdict::Allow;
    };
    match backend_select::select(&frontend, None) {
        Selection::NotAService => {
            forget(ctx);
            SocketVerdict::Allow
        }
        Selection::Backend(choice) => {
            remember(ctx, frontend.address(), frontend.port_be(), &choice);
            socket_address::set(ctx, family, choice.address, choice.port_be);
            SocketVerdict::Allow
        }
        Selection::None(reason, service_id) => {
            forget(ctx);
            unavailable(reason, service_id)
        }
    }
}

/// What a call to a Service that cannot serve gets.
#[inline(always)]
pub(crate) fn unavailable(reason: DropReason, service_id: u64) -> SocketVerdict {
    if service_id != 0 {
        connection_count::refused(service_id);
    }
    match reason {
        DropReason::NoLocalBackend => SocketVerdict::Unreachable(reason),
        // The Service may be about to appear: leave it to the packets, which are dropped and sent again by the client.
        DropReason::NoSuchService => SocketVerdict::Allow,
        DropReason::NoBackend | DropReason::NoSuchPort | DropReason::ServiceChanging => SocketVerdict::Refuse(reason),
        DropReason::Malformed
        | DropReason::Spoofed
        | DropReason::NoSuchPod
        | DropReason::NoOverlay
        | DropReason::ConntrackFull
        | DropReason::NoPortFree
        | DropReason::FragmentUnknown
        | DropReason::Untranslatable
        | DropReason::RewriteFailed
        | DropReason::TunnelFailed
        | DropReason::NotForOverlay
        | DropReason::OutsideSourceRanges
        | DropReason::PolicyEgress
        | DropReason::PolicyIngress
        | DropReason::PolicyPending => SocketVerdict::Refuse(reason),
    }
}

/// Writes down what the socket dialled and got, and counts the connection. Without memory the connection still works;
/// only its origin is unknown.
#[inline(always)]
fn remember(ctx: &SockAddrContext, frontend: Address, frontend_port_be: u16, choice: &Choice) {
    // SAFETY: the helper returns null or the storage of this socket, which lives as long as the socket.
    let origin = unsafe { SOCKET_ORIGIN.get_or_insert_ptr_mut(ctx, None) };
    if origin.is_null() {
        connection_count::opened(choice.service_id, choice.address, choice.port_be);
        return;
    }
    // SAFETY: checked above; the socket is locked by the system call.
    let origin = unsafe { &mut *origin };
    let is_again = origin.service_id == choice.service_id
        && origin.backend_port_be == choice.port_be
        && origin.backend == choice.address;
    if is_again {
        connection_count::opened_again(choice.service_id, choice.address, choice.port_be);
    } else {
        if origin.service_id != 0 {
            connection_count::closed(origin.service_id, origin.backend, origin.backend_port_be);
        }
        connection_count::opened(choice.service_id, choice.address, choice.port_be);
    }
    *origin = SocketOrigin {
        frontend,
        backend: choice.address,
        frontend_port_be,
        backend_port_be: choice.port_be,
        candidates: choice.candidates,
        service_id: choice.service_id,
        generation: choice.generation,
        // SAFETY: the helper takes nothing.
        chosen_at_ns: unsafe { bpf_ktime_get_coarse_ns() },
    };
}

/// Ends what the socket was connected to before: UDP sockets may connect again and again, TCP sockets after a failure.
#[inline(always)]
fn forget(ctx: &SockAddrContext) {
    // SAFETY: as above; null when the socket never dialled a Service.
    let origin = unsafe { SOCKET_ORIGIN.get_ptr_mut(ctx) };
    if origin.is_null() {
        return;
    }
    // SAFETY: checked above.
    let origin = unsafe { &mut *origin };
    if origin.service_id != 0 {
        connection_count::closed(origin.service_id, origin.backend, origin.backend_port_be);
        origin.service_id = 0;
        origin.frontend = Address::UNSPECIFIED;
        origin.backend = Address::UNSPECIFIED;
    }
}
