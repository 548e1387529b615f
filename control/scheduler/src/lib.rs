//! Finds a node for every pod.
//!
//! ```text
//! API server ─watch→ inputs ──→ cluster_state (nodes, placed pods) ──┐
//!                      └──────→ queue (pending pods) ─next pod→ cycle (filter, score) ─node→ bind → API server
//!                                 ↑            └ no node → preemption → condition and event ┘
//!                                 └──── a change that the refusing plugins wait for
//! ```
//!
//! One task owns queue and state, so a cycle needs no locks; requests to the API server run beside it.

pub mod config;
pub mod scheduler;
pub mod inputs;
// who waits, where they can go
pub mod queue;
pub mod pending_pod;
pub mod cluster_state;
pub mod pod_info;
pub mod resources;
pub mod quantity;
pub mod selectors;
// one pod's way
pub mod cycle;
pub mod framework;
pub mod plugins;
pub mod preemption;
pub mod requests;
pub mod events;

#[cfg(test)]
mod testing;

pub use config::{Args, Config};
pub use scheduler::run;
