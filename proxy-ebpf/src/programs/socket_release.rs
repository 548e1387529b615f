//! cgroup `sock_release`: a socket is closed, and with it the connection it held.

use aya_ebpf::{helpers::generated::bpf_sk_storage_get, macros::cgroup_sock, programs::SockContext};
use skep_proxy_ebpf::maps::socket_origin::SocketOrigin;

use crate::{map_statics::SOCKET_ORIGIN, steps::connection_count};

/// This hook may not fail the call.
const PROCEED: i32 = 1;

#[cgroup_sock(sock_release)]
pub(crate) fn socket_release(ctx: SockContext) -> i32 {
    let map = (&raw const SOCKET_ORIGIN).cast_mut().cast();
    // SAFETY: a socket storage map and the socket of the context, as the helper wants; flags 0 creates nothing.
    let origin = unsafe { bpf_sk_storage_get(map, ctx.sock.cast(), core::ptr::null_mut(), 0) };
    // SAFETY: null, or the storage of this socket.
    if let Some(origin) = unsafe { origin.cast::<SocketOrigin>().as_ref() } {
        if origin.service_id != 0 {
            connection_count::closed(origin.service_id, origin.backend, origin.backend_port_be);
        }
    }
    PROCEED
}
