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
pub mod inputs;
pub mod scheduler;
// who waits, where they can go
pub mod cluster_state;
pub mod pending_pod;
pub mod pod_info;
pub mod quantity;
pub mod queue;
pub mod resources;
pub mod selectors;
// one pod's way
pub mod cycle;
pub mod events;
pub mod framework;
pub mod plugins;
pub mod preemption;
pub mod requests;

#[cfg(test)]
mod testing;

pub use config::{Args, Config};
pub use scheduler::run;
