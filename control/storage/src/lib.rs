//! Storage of the API server: keys, bytes and revisions, never kinds; from the server; to disk, etcd and watchers.
//!
//! ```text
//! server ──writes──► store::Store ──► embedded (one directory, group commit)
//!    │                   │        └─► etcd (etcd v3, several API servers)
//!    │                   │ watch of a prefix
//!    └──reads, watches─► watch_cache::WatchCache<T> ──► every watcher
//! ```
//!
//! All engines obey one suite, `conformance` (feature `testing`).
#![warn(missing_docs)]

pub mod key;
pub mod store;

pub mod lease;

mod history;
mod sorted_map;

pub mod embedded;
pub mod etcd;

pub mod compaction;

pub mod watch_cache;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
