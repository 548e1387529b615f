//! Header arithmetic: what lies where, tuples, checksums. From bytes; to the steps of the programs. Pure.
//!
//! Headers are copied out of the packet into these structures, so they are aligned; fields named `_be` hold network byte
//! order as they lie in the packet.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod neighbour;
pub mod tcp;
pub mod tuple;

#[cfg(test)]
mod tests;
