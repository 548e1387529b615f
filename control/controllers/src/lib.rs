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
pub mod leader;
pub mod runner;
// how a controller works
pub mod cluster;
pub mod event_recorder;
pub mod expectations;
pub mod informer;
pub mod object_key;
pub mod store;
pub mod sync;
pub mod tasks;
pub mod work_queue;
// what controllers reason about
pub mod adoption;
pub mod label_match;
pub mod owners;
pub mod pod_control;
pub mod pod_state;
pub mod template_hash;
// workloads
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod disruption_budget;
pub mod finished_jobs;
pub mod history;
pub mod job;
pub mod node_fit;
pub mod replica_set;
pub mod stateful_set;
// services
pub mod endpoint_slice;
pub mod endpoint_slice_mirroring;
pub mod endpoints;
pub mod service_ports;
pub mod trigger_time;
// nodes and namespaces
pub mod cluster_role_aggregation;
pub mod garbage;
pub mod namespace;
pub mod namespace_defaults;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod node_ttl;
pub mod pod_gc;
pub mod quantity;
pub mod quota;
pub mod removals;
pub mod resource_list;
pub mod taint_eviction;
pub mod taints;

pub use config::{Args, Config};
pub use runner::run;
