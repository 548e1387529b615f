//! The control loops: each moves the cluster's state towards what its objects ask for.
//!
//! ```text
//! API server ─watch→ informer (one store per kind) ─change→ handlers ─key→ work queue ─key→ workers
//!      ↑                      │                                                            │
//!      │                      └──────────── stores ──→ decision (pure) ←── one key ────────┘
//!      └───────────────── requests ←── executor ←──────────┘
//! ```
//!
//! They see what any client sees and work with any API server: [`runner::run`] takes a `kube::Client`.

// what runs
pub mod config;
pub mod runner;
pub mod leader;
// how a controller works
pub mod object_key;
pub mod store;
pub mod informer;
pub mod cluster;
pub mod work_queue;
pub mod tasks;
pub mod sync;
pub mod expectations;
pub mod event_recorder;
// what controllers reason about
pub mod label_match;
pub mod owners;
pub mod adoption;
pub mod pod_state;
pub mod pod_control;
pub mod template_hash;
// workloads
pub mod replica_set;
pub mod deployment;
// services
pub mod service_ports;
pub mod trigger_time;
pub mod endpoint_slice;
pub mod endpoint_slice_mirroring;
pub mod endpoints;
// nodes and namespaces
pub mod node_ipam;
pub mod taints;
pub mod node_lifecycle;
pub mod taint_eviction;
pub mod node_ttl;
pub mod pod_gc;
pub mod namespace_defaults;
pub mod resource_list;
pub mod namespace;
pub mod garbage;

pub use config::{Args, Config};
pub use runner::run;
