//! cgroup recvmsg4/6 and getpeername4/6: a client sees the address it dialled, not the backend's.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use skep_proxy_ebpf::address::Address;

use crate::{
    map_statics::{SOCKET_ORIGIN, UDP_PEERS},
    steps::socket_address::{self, Family},
};

/// These hooks may not fail the call.
const PROCEED: i32 = 1;

#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn socket_recvmsg4(ctx: SockAddrContext) -> i32 {
    receive(&ctx, Family::V4)
}

#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn socket_recvmsg6(ctx: SockAddrContext) -> i32 {
    receive(&ctx, Family::V6)
}

#[cgroup_sock_addr(getpeername4)]
pub(crate) fn socket_getpeername4(ctx: SockAddrContext) -> i32 {
    peer_name(&ctx, Family::V4)
}

#[cgroup_sock_addr(getpeername6)]
pub(crate) fn socket_getpeername6(ctx: SockAddrContext) -> i32 {
    peer_name(&ctx, Family::V6)
}

#[inline(always)]
fn peer_name(ctx: &SockAddrContext, family: Family) -> i32 {
    let (address, port_be) = socket_address::get(ctx, family);
    if let Some((frontend, frontend_port_be)) = connected(ctx, address, port_be) {
        socket_address::set(ctx, family, frontend, frontend_port_be);
    }
    PROCEED
}

#[inline(always)]
fn receive(ctx: &SockAddrContext, family: Family) -> i32 {
    let (address, port_be) = socket_address::get(ctx, family);
    let frontend = match connected(ctx, address, port_be) {
        Some(frontend) => Some(frontend),
        None => unconnected(ctx, address, port_be),
    };
    if let Some((frontend, frontend_port_be)) = frontend {
        socket_address::set(ctx, family, frontend, frontend_port_be);
    }
    PROCEED
}

/// What a socket connected to this backend dialled.
#[inline(always)]
fn connected(ctx: &SockAddrContext, address: Address, port_be: u16) -> Option<(Address, u16)> {
    // SAFETY: the helper returns null or the storage of this socket, which lives as long as the socket.
    let origin = unsafe { SOCKET_ORIGIN.get_ptr_mut(ctx).as_ref() }?;
    (origin.backend_port_be == port_be && origin.backend == address)
        .then_some((origin.frontend, origin.frontend_port_be))
}

/// What an unconnected socket sent to last that led to this backend.
#[inline(always)]
fn unconnected(ctx: &SockAddrContext, address: Address, port_be: u16) -> Option<(Address, u16)> {
    // SAFETY: as above.
    let peers = unsafe { UDP_PEERS.get_ptr_mut(ctx).as_ref() }?;
    let peer = peers.peers.iter().find(|peer| peer.backend_port_be == port_be && peer.backend == address)?;
    Some((peer.frontend, peer.frontend_port_be))
}
