//! The hooks.

mod socket_connect;
mod socket_receive;
mod socket_release;
mod socket_send;

mod overlay_egress;
mod overlay_ingress;
mod pod_egress;
mod pod_ingress;
mod uplink_egress;
mod uplink_ingress;
