//! The kernel's side as the rest of the agent sees it. From `reconcile` and the overlay; to the kernel.
//!
//! ```text
//! load        object → programs in the kernel, maps and programs pinned
//! attach      programs → links on cgroup and devices, pinned; replaced one hook at a time, without a gap
//! typed_maps  keys and values of `skep_proxy_ebpf` → map elements, in batches; also for readers while the agent is dead
//! netns       the cookie of the node's network namespace
//! statistics  how often pinned programs run and how long they take
//! syscall     the calls of bpf(2) which aya has no safe form of
//! ```
//!
//! Everything lives below one pin directory, so several nodes on one machine do not meet.

pub mod attach;
pub mod load;
pub mod netns;
pub mod statistics;
mod syscall;
pub mod typed_maps;

pub use attach::{AttachError, Device};
pub use load::{Datapath, LoadError};
pub use typed_maps::{MapError, Table, TypedMaps};
