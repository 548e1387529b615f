//! A cluster on one machine: nodes are network namespaces on a bridge, with their own containerd, kubelet and agent.
//!
//! ```text
//! plan (names, ranges, paths) → network (bridge, namespaces) → cgroup → component (server, etcd, containerd, kubelet, agent) → process → start
//!                                                                                              supervisor ↗         remove ↩
//! ```
//! Everything is derived from the cluster's plan on disk, so `up` starts what is not running and `down` finds all there is.

pub(crate) mod agent_role;
pub(crate) mod cgroup;
pub(crate) mod component;
pub(crate) mod containerd;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod remove;
pub(crate) mod start;
pub(crate) mod supervisor;
