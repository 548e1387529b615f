//! `SOCKET_ORIGIN`: what a connected socket dialled and what it got.
//!
//! Socket storage: written by `socket_connect*`, read by
//! `socket_getpeername*`, `socket_recvmsg*` and `socket_release`; it is freed with the socket, so it needs no limit and
//! nothing is ever evicted.

use crate::address::Address;

/// Name of the map, a socket storage.
pub const NAME: &str = "SOCKET_ORIGIN";

/// Value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SocketOrigin {
    /// Address the client dialled; unspecified while the socket is connected to no Service.
    pub frontend: Address,
    /// Address it got.
    pub backend: Address,
    /// Port the client dialled, network byte order.
    pub frontend_port_be: u16,
    /// Port it got, network byte order.
    pub backend_port_be: u16,
    /// Among how many backends it was chosen.
    pub candidates: u32,
    /// Identity of the Service port.
    pub service_id: u64,
    /// Generation of the frontend at that time.
    pub generation: u64,
    /// When it was chosen, nanoseconds of the monotonic clock.
    pub chosen_at_ns: u64,
}
map_type!(SocketOrigin, size = 64);
