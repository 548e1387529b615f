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

pub mod pod_source;
pub mod pods;
pub mod pod_worker;
pub mod actions;
pub mod spec;
pub mod cri;
pub mod status;
pub mod status_publisher;

pub mod relist;
pub mod probes;
pub mod hooks;
pub mod last_words;
pub mod images;
pub mod objects;
pub mod volumes;
pub mod cgroups;
pub mod directories;
pub mod events;
pub mod kubelet;

pub mod node_status;
pub mod lease;
pub mod health;
pub mod machine;

pub mod server;
pub mod log_format;
pub mod image;

pub mod pod;
pub mod quantity;
pub mod backoff;

pub use args::Args;
pub use config::Config;
pub use run::run;
