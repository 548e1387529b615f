//! The node's network agent: from Services to the kernel.
//!
//! ```text
//! args → config → agent (the loop)
//!   watch ──▶ objects ──▶ desired ──▶ entries, ids ──▶ reconcile ──▶ datapath::typed_maps ──▶ maps
//!   API       what matters  kube-proxy's   map elements    diff, apply,
//!                           rules (pure)   (pure)          prune, audit
//!   nodes ──▶ overlay (device, routes) ──▶ conflist: the node takes pods
//!   names ──▶ a file ──▶ view (also with the agent dead, from the pinned maps)      health: :10256
//! ```

pub mod args;

pub mod config;

pub mod agent;

pub mod watch;

pub mod objects;

pub mod desired;
pub mod policy;

pub mod entries;
pub mod ids;

pub mod reconcile;

pub mod datapath;

pub mod overlay;

pub mod conflist;

pub mod health;

pub mod names;

pub mod view;

pub use agent::run;
pub use args::Args;
pub use config::Config;
