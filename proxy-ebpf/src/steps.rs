//! The steps of the programs: first those of sockets and packets, then those of packets in the order they are taken.

pub(crate) mod backend_select;
pub(crate) mod connection_count;
pub(crate) mod service_lookup;

pub(crate) mod socket_address;

pub(crate) mod parse;

pub(crate) mod neighbour_answer;

pub(crate) mod flow;
pub(crate) mod transport;

pub(crate) mod conntrack;
pub(crate) mod icmp_error;
pub(crate) mod masquerade;
pub(crate) mod rewrite;
pub(crate) mod service_translate;

pub(crate) mod forward;

pub(crate) mod policy;

pub(crate) mod refuse;
