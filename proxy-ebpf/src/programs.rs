//! The hooks.

mod socket_connect;
mod socket_receive;
mod socket_release;
mod socket_send;
