//! cgroup sendmsg4/6: a datagram is sent to an address. Each Service a socket talks to keeps one backend while it serves.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use skep_proxy_ebpf::{
    maps::udp_peer::{PEERS, Peer, UdpPeers},
    verdict::SocketVerdict,
};

use super::socket_connect::unavailable;
use crate::{
    finish,
    map_statics::UDP_PEERS,
    steps::{
        backend_select::{self, Selection},
        socket_address::{self, Family},
    },
};

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn socket_sendmsg4(ctx: SockAddrContext) -> i32 {
    finish::socket(send(&ctx, Family::V4))
}

#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn socket_sendmsg6(ctx: SockAddrContext) -> i32 {
    finish::socket(send(&ctx, Family::V6))
}

#[inline(always)]
fn send(ctx: &SockAddrContext, family: Family) -> SocketVerdict {
    let Some(frontend) = socket_address::frontend(ctx, family) else {
        return SocketVerdict::Allow;
    };
    // SAFETY: the helper returns null or the storage of this socket, which lives as long as the socket.
    let peers = unsafe { UDP_PEERS.get_ptr_mut(ctx).as_mut() };
    let known = peers.and_then(|peers| {
        peers
            .peers
            .iter()
            .find(|peer| peer.frontend_port_be == frontend.port_be() && peer.frontend == frontend.address())
    });
    let keep = known.map(|peer| (peer.backend, peer.backend_port_be, peer.generation));
    let choice = match backend_select::select(&frontend, keep) {
        Selection::NotAService => return SocketVerdict::Allow,
        Selection::Backend(choice) => choice,
        Selection::None(reason, service_id) => return unavailable(reason, service_id),
    };
    if keep != Some((choice.address, choice.port_be, choice.generation)) {
        remember(
            ctx,
            &Peer {
                frontend: frontend.address(),
                backend: choice.address,
                frontend_port_be: frontend.port_be(),
                backend_port_be: choice.port_be,
                zero: 0,
                generation: choice.generation,
            },
        );
    }
    socket_address::set(ctx, family, choice.address, choice.port_be);
    SocketVerdict::Allow
}

/// Puts `peer` in the place of the same frontend, or of the oldest one.
#[inline(always)]
fn remember(ctx: &SockAddrContext, peer: &Peer) {
    // SAFETY: as above. Without memory the datagram still goes out; its answer shows the backend's address.
    let Some(peers) = (unsafe { UDP_PEERS.get_or_insert_ptr_mut(ctx, None).as_mut() }) else {
        return;
    };
    let UdpPeers { next, peers } = peers;
    let same = |known: &Peer| known.frontend_port_be == peer.frontend_port_be && known.frontend == peer.frontend;
    if let Some(slot) = peers.iter_mut().find(|known| same(known)) {
        *slot = *peer;
        return;
    }
    if let Some(slot) = peers.get_mut(*next as usize % PEERS) {
        *slot = *peer;
    }
    *next = next.wrapping_add(1);
}
