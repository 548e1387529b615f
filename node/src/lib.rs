//! The kubelet: makes the pods bound to this node run, and says how they do.
//!
//! ```text
//! pod_source (API watch, static pods) ─► pods ─► pod_worker (a task per pod UID)
//!                                                  │  actions (pure: spec + runtime state → plan)
//!      relist, probes, objects ── wake ──►         │  spec (pure: spec → CRI), volumes, cgroups, images
//!                                                  ▼
//!                                       cri/{sandbox, container, image} ─► containerd
//!                                                  │
//!                                       status (pure) ─► status_publisher ─► API
//! beside the walk: node_status, lease, health · server (logs, exec, metrics) · image (archives into containerd)
//! ```
//!
//! Invariant: containers without our labels are never touched; what runs is never stopped before all sources of pods have
//! delivered their first full list.

pub mod args;
pub mod config;
pub mod run;

pub mod actions;
pub mod admission;
pub mod cri;
pub mod pod_source;
pub mod pod_worker;
pub mod pods;
pub mod spec;
pub mod status;
pub mod status_publisher;

pub mod cgroups;
pub mod directories;
pub mod events;
pub mod hooks;
pub mod images;
pub mod kubelet;
pub mod last_words;
pub mod objects;
pub mod probes;
pub mod relist;
pub mod volumes;

pub mod health;
pub mod lease;
pub mod machine;
pub mod node_status;

pub mod image;
pub mod log_format;
pub mod log_rotation;
pub mod server;

pub mod backoff;
pub mod pod;
pub mod quantity;

pub use args::Args;
pub use config::Config;
pub use run::run;
