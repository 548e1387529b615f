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

// start
pub mod args;
pub mod config;
pub mod run;

// the walk
pub mod pod_source;

pub mod pods;

pub mod orphans;

pub mod pod_worker;

pub mod actions;
pub mod admission;

pub mod spec;

pub mod cri;

pub mod status;
pub mod status_publisher;

// what the worker uses on the way
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

// the node itself
pub mod health;
pub mod lease;
pub mod machine;
pub mod node_status;

// beside the walk
pub mod image;
pub mod log_format;
pub mod log_rotation;
pub mod server;

// questions of numbers and specs
pub mod backoff;
pub mod pod;
pub mod quantity;

pub use args::Args;
pub use config::Config;
pub use run::run;
