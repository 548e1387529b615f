//! The steps of the programs.

pub(crate) mod backend_select;
pub(crate) mod connection_count;
pub(crate) mod service_lookup;
pub(crate) mod socket_address;
