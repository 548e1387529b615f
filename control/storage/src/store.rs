//! The trait `Store`: etcd's semantics for keys, bytes and revisions; from server and watch cache; to an engine.
//!
//! Revisions start at 1 (the empty store) and grow by one with every transaction that changes something. All effects
//! of one transaction carry the same revision.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::key::KeyRange;

/// A version of the whole store. The empty store has revision 1, as in etcd.
pub type Revision = u64;

/// The name of a lease; `LeaseId::NONE` (0) means no lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl LeaseId {
    /// The key lives until it is deleted.
    pub const NONE: Self = Self(0);
}

/// One key with its value and the revisions that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Revision in which the key was created.
    pub create_revision: Revision,
    /// Revision of the last put to the key.
    pub mod_revision: Revision,
    /// Number of puts since creation; 1 after creation.
    pub version: u64,
    /// The lease that the key is attached to.
    pub lease: LeaseId,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// The revision to read at; `None` reads the newest, linearizably.
    pub at: Option<Revision>,
    /// At most so many items; 0 means all.
    pub limit: usize,
    /// Only count; no items are returned.
    pub count_only: bool,
}

impl RangeRequest {
    /// Reads all of `range` at the newest revision.
    pub fn new(range: KeyRange) -> Self {
        Self { range, at: None, limit: 0, count_only: false }
    }

    /// Reads one key at the newest revision.
    pub fn single(key: impl Into<Bytes>) -> Self {
        Self::new(KeyRange::single(key))
    }

    /// Reads at `revision`.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        self.at = Some(revision);
        self
    }

    /// Returns at most `limit` items (0: all).
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns only the count.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.count_only = true;
        self
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The store's newest revision when it answered (not the revision read at).
    pub revision: Revision,
    /// The keys of the range in byte order, cut at the limit.
    pub items: Vec<KeyValue>,
    /// Number of keys in the whole range, without regard to the limit.
    pub count: u64,
    /// Whether the limit cut items off.
    pub more: bool,
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key's newest put has this revision; 0 means that the key does not exist.
    ModRevision {
        /// The key.
        key: Bytes,
        /// The revision expected.
        revision: Revision,
    },
    /// The key exists.
    Exists {
        /// The key.
        key: Bytes,
    },
    /// The key does not exist.
    Absent {
        /// The key.
        key: Bytes,
    },
}

/// One step of a transaction.
#[derive(Clone, Debug)]
pub enum Op {
    /// Writes a key.
    Put {
        /// The key.
        key: Bytes,
        /// The new value.
        value: Bytes,
        /// The lease that the key is attached to from now on.
        lease: LeaseId,
    },
    /// Deletes all keys of a range.
    Delete {
        /// Which keys.
        range: KeyRange,
    },
    /// Reads within the transaction; sees its earlier steps.
    Range(RangeRequest),
}

/// If all `compares` hold then `success` else `failure`, atomically.
///
/// A key may be put only once in a transaction, and a key that is put must not lie in a deleted range of it, as in etcd.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// The conditions; none means success.
    pub compares: Vec<Compare>,
    /// Steps when all conditions hold.
    pub success: Vec<Op>,
    /// Steps when one does not hold.
    pub failure: Vec<Op>,
}

impl Txn {
    /// Writes `key` without condition.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            success: vec![Op::Put { key: key.into(), value: value.into(), lease: LeaseId::NONE }],
            ..Self::default()
        }
    }

    /// Writes `key` if it does not exist; otherwise reads it (`TxnResponse::current`).
    pub fn create(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        Self::update(key, 0, value, lease)
    }

    /// Writes `key` if its newest put has `revision` (0: does not exist); otherwise reads it (`TxnResponse::current`).
    pub fn update(key: impl Into<Bytes>, revision: Revision, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare::ModRevision { key: key.clone(), revision }],
            success: vec![Op::Put { key: key.clone(), value: value.into(), lease }],
            failure: vec![Op::Range(RangeRequest::single(key))],
        }
    }

    /// Deletes `key` if its newest put has `revision`; otherwise reads it (`TxnResponse::current`).
    pub fn delete(key: impl Into<Bytes>, revision: Revision) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare::ModRevision { key: key.clone(), revision }],
            success: vec![Op::Delete { range: KeyRange::single(key.clone()) }],
            failure: vec![Op::Range(RangeRequest::single(key))],
        }
    }
}

/// The result of one step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResponse {
    /// The key was written.
    Put,
    /// So many keys were deleted.
    Delete {
        /// Number of keys deleted.
        deleted: u64,
    },
    /// What was read.
    Range(RangeResponse),
}

/// The result of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResponse {
    /// The store's revision after the transaction: the revision of what it wrote, if it wrote.
    pub revision: Revision,
    /// Whether the conditions held.
    pub succeeded: bool,
    /// One answer per step of the branch taken.
    pub responses: Vec<OpResponse>,
}

impl TxnResponse {
    /// The first item read by the branch taken: after a lost comparison of `Txn::update`, the key as it is now.
    pub fn current(&self) -> Option<&KeyValue> {
        self.responses.iter().find_map(|response| match response {
            OpResponse::Range(range) => range.items.first(),
            OpResponse::Put | OpResponse::Delete { .. } => None,
        })
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put(KeyValue),
    /// The key was deleted, by request or because its lease ended.
    Delete {
        /// The key.
        key: Bytes,
        /// Revision of the deletion.
        revision: Revision,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(item) => &item.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(item) => item.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// An item of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// All changes of the watched range in one or more consecutive revisions, in order. A revision is never split over
    /// two items, never repeated and never left out.
    Events(Vec<Event>),
    /// All changes up to and including this revision have been delivered.
    Progress(Revision),
}

/// A running watch. Dropping it ends it.
pub struct Watch {
    /// The items; an error is the last one (`Compacted` when the watch fell behind, `Unavailable` when the store ended).
    pub items: BoxStream<'static, Result<WatchItem, StoreError>>,
    /// Asks for a `WatchItem::Progress`.
    pub progress: ProgressRequester,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Asks a running watch for a progress item. Several requests may be answered by one item.
#[derive(Clone)]
pub struct ProgressRequester(Arc<dyn Fn() + Send + Sync>);

impl ProgressRequester {
    /// A requester which calls `request`.
    pub fn new(request: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(request))
    }

    /// Asks; does not wait. Does nothing when the watch has ended.
    pub fn request(&self) {
        (self.0)();
    }
}

impl fmt::Debug for ProgressRequester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressRequester").finish_non_exhaustive()
    }
}

/// Figures about a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The newest durable revision.
    pub revision: Revision,
    /// The oldest revision that can be read; 0 if unknown.
    pub compacted: Revision,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes of live keys and values; 0 if unknown.
    pub live_bytes: u64,
    /// Number of live keys; 0 if unknown.
    pub keys: u64,
}

/// Why the store could not do it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The revision asked for is no longer known.
    #[error("required revision has been compacted; the oldest revision kept is {}", compacted)]
    Compacted {
        /// Reads need at least this revision, watches must start after it.
        compacted: Revision,
    },
    /// The revision asked for does not exist yet.
    #[error("required revision {requested} is a future revision; the store is at {current}")]
    FutureRevision {
        /// The revision asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// A put names a lease that does not exist (any more), or a lease operation does.
    #[error("lease {:x} not found", lease.0)]
    LeaseNotFound {
        /// The lease.
        lease: LeaseId,
    },
    /// The request itself is wrong (an empty key, a key written twice in one transaction, …).
    #[error("invalid request to the store: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// A key with its value is larger than the store takes.
    #[error("request of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Size of the request.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The store takes no writes because the disk or its quota is full. Deletes and compaction may free space.
    #[error("the store is full: {reason}")]
    Full {
        /// What is full.
        reason: String,
    },
    /// The store cannot answer now. A write may or may not have happened.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// A file of the store is damaged. It is left as it is; restore it from a snapshot.
    #[error("{}: damaged at byte {offset}: {reason}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Another process has the store open.
    #[error("{}: the store is in use by another process", directory.display())]
    Locked {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The operating system refused an operation on a file of the store.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<std::io::Error>,
    },
}

/// The future of an answer of a [`Store`].
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A key-value store with etcd's semantics. Used as `Arc<dyn Store>`.
///
/// What an answer says is durable and stays true after a crash. Reads without a revision are linearizable.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads keys in byte order.
    ///
    /// # Errors
    /// `Compacted` and `FutureRevision` for `at`; `Unavailable`.
    fn range(&self, request: RangeRequest) -> StoreFuture<'_, RangeResponse>;

    /// Compares and writes atomically; answers when the write is durable. A dropped future does not undo the write.
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`, `LeaseNotFound`, `Full`: nothing was written. `Unavailable`: unknown.
    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnResponse>;

    /// Watches a range from revision `from` (0: from the next change on). A future `from` is waited for.
    /// The watch exists when the future is ready: no change after that is missed.
    ///
    /// # Errors
    /// `Compacted` when events from `from` on are no longer known (an engine may also say so by the first item);
    /// `Unavailable`.
    fn watch(&self, range: KeyRange, from: Revision) -> StoreFuture<'_, Watch>;

    /// The newest revision, linearizably: no write acknowledged before the call has a higher one.
    ///
    /// # Errors
    /// `Unavailable`.
    fn revision(&self) -> StoreFuture<'_, Revision>;

    /// Makes a lease that ends `ttl` after the last keep-alive (granularity: a second, at least one).
    ///
    /// # Errors
    /// `Unavailable`, `Full`.
    fn lease_grant(&self, ttl: Duration) -> StoreFuture<'_, LeaseId>;

    /// Starts the lease's time anew; answers the time to live.
    ///
    /// # Errors
    /// `LeaseNotFound`, `Unavailable`.
    fn lease_keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, Duration>;

    /// Ends a lease and deletes its keys, all in one revision.
    ///
    /// # Errors
    /// `LeaseNotFound`, `Unavailable`, `Full`.
    fn lease_revoke(&self, lease: LeaseId) -> StoreFuture<'_, ()>;

    /// Forgets what was superseded at or before `revision`; reads at lower revisions fail from then on.
    ///
    /// # Errors
    /// `Compacted` when that was done already, `FutureRevision`, `Unavailable`.
    fn compact(&self, revision: Revision) -> StoreFuture<'_, ()>;

    /// Whether the store can serve writes now.
    ///
    /// # Errors
    /// Why it cannot.
    fn health(&self) -> StoreFuture<'_, ()>;

    /// Figures.
    ///
    /// # Errors
    /// `Unavailable`.
    fn status(&self) -> StoreFuture<'_, Status>;
}
