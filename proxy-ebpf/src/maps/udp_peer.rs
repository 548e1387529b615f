//! `UDP_PEERS`: the Services an unconnected UDP socket talked to lately.
//!
//! Socket storage: written by `socket_sendmsg*`, read
//! by the same (one flow stays with its backend) and by `socket_recvmsg*` (answers come from the Service's address).

use crate::address::Address;

/// Name of the map, a socket storage.
pub const NAME: &str = "UDP_PEERS";
/// Services a socket may talk to at once; beyond that the oldest is forgotten.
pub const PEERS: usize = 8;

/// One Service and the backend which this socket uses for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Peer {
    /// Address the client dialled.
    pub frontend: Address,
    /// Address its datagrams go to.
    pub backend: Address,
    /// Port the client dialled, network byte order.
    pub frontend_port_be: u16,
    /// Port its datagrams go to, network byte order.
    pub backend_port_be: u16,
    /// Always 0.
    pub zero: u32,
    /// Generation of the frontend at that time: a changed Service chooses anew.
    pub generation: u64,
}
map_type!(Peer, size = 48);

/// Value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UdpPeers {
    /// Index of the slot to be overwritten next.
    pub next: u64,
    /// The peers, in no order.
    pub peers: [Peer; PEERS],
}
map_type!(UdpPeers, size = 392);
