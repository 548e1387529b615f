//! The maps: one file each, with its name, capacity, key, value, its one writer and its readers. From the agent and the
//! CNI plugin; to the programs. Pure.
//!
//! Integers lie in the byte order of the machine unless a doc line says otherwise; addresses and ports lie in network
//! byte order. Every byte of a key is named, because keys are compared as bytes.

/// Declares a map key or value: pins its size and makes it usable by aya in user space.
macro_rules! map_type {
    ($ty:ty, size = $size:literal) => {
        const _: () = assert!(core::mem::size_of::<$ty>() == $size);
        #[cfg(feature = "user")]
        #[expect(unsafe_code, reason = "aya::Pod is an unsafe marker trait")]
        // SAFETY: `#[repr(C)]` of integers, arrays of integers and such types; the fields sum to the size pinned above.
        unsafe impl aya::Pod for $ty {}
    };
}

pub mod config;

pub mod backend;
pub mod backend_count;
pub mod service;

pub mod node;
pub mod pod;

pub mod affinity;
pub mod socket_origin;
pub mod source_range;
pub mod udp_peer;

pub mod conntrack;
pub mod fragment;

pub mod identity;
pub mod pod_policy;
pub mod policy_count;
pub mod policy_flow;
pub mod policy_namespace;
pub mod policy_rule;

pub mod drop_count;

/// Every map by its name, in the order of this module: what a pin directory holds.
pub const NAMES: [&str; 21] = [
    config::NAME,
    backend::NAME,
    backend_count::NAME,
    service::NAME,
    source_range::NAME,
    affinity::NAME,
    pod::NAME,
    node::NAME,
    socket_origin::NAME,
    udp_peer::NAME,
    conntrack::NAME,
    conntrack::CLOCK_NAME,
    fragment::NAME,
    identity::NAME,
    pod_policy::NAME,
    policy_count::NAME,
    policy_flow::NAME,
    policy_namespace::NAME,
    policy_rule::NAME,
    policy_rule::GENERATION_NAME,
    drop_count::NAME,
];

/// In which layout version each of [`NAMES`] last changed its shape or meaning.
///
/// An agent that finds an older version takes over the maps that are the same since then, with what they hold. What has
/// changed starts empty: the agent fills its own maps anew; for maps that others fill (`PODS`, `CONNTRACK`, the socket
/// storages) a conversion must come with the change.
pub const SINCE: [u32; NAMES.len()] = [2, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 1];

#[cfg(test)]
mod tests;
