//! What kernel and user space agree on, and everything the programs compute that can be tested on the host.
//!
//! ```text
//! agent (proxy) ──writes──▶ maps ◀──reads── programs (this package's binary)
//! CNI plugin ────writes──▶ PODS
//!
//! address, protocol        the two words every key is made of
//! maps                     one file per map: name, capacity, key, value, who writes, who reads
//! packet                   header arithmetic: offsets, checksums, tuples
//! select                   which backend a new connection gets, the same for sockets and packets
//! verdict                  what may happen to a packet or a connect, and why something was dropped
//! overlay                  constants of the pod network
//! pins                     where programs, maps and links live in bpffs, and the layout version
//! ```
#![no_std]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

#[cfg(any(test, feature = "user"))]
extern crate std;

pub mod address;
pub mod maps;
pub mod overlay;
pub mod packet;
pub mod pins;
pub mod protocol;
pub mod select;
pub mod verdict;
