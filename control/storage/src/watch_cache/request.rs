//! What the cache is asked and what it answers; from and to the server. Pure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::key::KeyRange;
use crate::store::{Revision, StoreError};

/// Makes the cached form of an object. One per resource; what it makes is shared by all readers.
pub trait Decode<T>: Send + Sync + 'static {
    /// The object stored at `key` with `value`, whose resource version is `revision`.
    ///
    /// # Errors
    /// Why the value is no such object; it is then reported to every reader of its range.
    fn decode(&self, key: &Bytes, value: &Bytes, revision: Revision) -> Result<T, DecodeError>;

    /// The same object with another resource version: the last state of an object that was deleted in `revision`, or left a
    /// watcher's selection then.
    fn at_revision(&self, object: &T, revision: Revision) -> T;

    /// The value of the field that [`WatchRequest::index`] speaks about (for pods: `spec.nodeName`); `None` when the
    /// resource has no such field. It must follow from the object alone.
    fn index<'a>(&self, object: &'a T) -> Option<&'a str> {
        let _ = object;
        None
    }
}

/// Why a stored value is not an object.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What is wrong with it.
    pub reason: String,
}

/// Tells whether an object is selected.
pub type Filter<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Whatever the cache has (resource version "0").
    Any,
    /// At least what was acknowledged before the call (resource version unset).
    Latest,
    /// At least this revision.
    AtLeast(Revision),
}

/// Which state a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAt {
    /// The cache's newest state, once it is fresh enough.
    Newest(Freshness),
    /// The state at exactly this revision (`resourceVersionMatch=Exact`, continued lists).
    Exact(Revision),
}

/// What to list.
#[derive(Clone)]
pub struct ListRequest<T> {
    /// Which keys: `KeyRange::prefix` of the resource or of a namespace; `starting_at` the continue key.
    pub range: KeyRange,
    /// Which state.
    pub at: ListAt,
    /// At most so many objects; 0 means all.
    pub limit: usize,
    /// Only these objects.
    pub filter: Option<Filter<T>>,
}

/// What was listed.
#[derive(Clone, Debug)]
pub struct ListResponse<T> {
    /// The objects in key order.
    pub items: Vec<Arc<T>>,
    /// The revision of the state listed: the list's resource version, and what a continued list must ask for.
    pub revision: Revision,
    /// Where the next page starts, when the limit cut objects off.
    pub next: Option<Bytes>,
    /// How many objects of the range follow; known only without a filter.
    pub remaining: Option<u64>,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// After this revision.
    After(Revision),
    /// With an `Added` for every object of a state this fresh, then, if `end_bookmark`, a bookmark with `initial_end`,
    /// then the changes after that state.
    State {
        /// How fresh the first state must be.
        freshness: Freshness,
        /// Whether a bookmark marks the end of the first state.
        end_bookmark: bool,
    },
    /// With the next change after a state this fresh; no initial events.
    Now(Freshness),
}

/// What to watch.
#[derive(Clone)]
pub struct WatchRequest<T> {
    /// Which keys: `KeyRange::prefix` of the resource or of a namespace, or `KeyRange::single`.
    pub range: KeyRange,
    /// Where to start.
    pub from: WatchFrom,
    /// Only these objects; one that enters the selection is `Added`, one that leaves it is `Deleted`.
    pub filter: Option<Filter<T>>,
    /// A promise that the filter selects only objects whose [`Decode::index`] has this value. With it, an event costs
    /// nothing for the watchers of other values.
    pub index: Option<String>,
    /// Send a bookmark when this long passed without an item.
    pub bookmarks: Option<Duration>,
}

/// An item of a watch. Deleted objects carry the revision of the deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<T> {
    /// An object came to be, or entered the selection.
    Added {
        /// The object.
        object: Arc<T>,
        /// Revision of the change (for initial events: of the state they show).
        revision: Revision,
    },
    /// An object changed.
    Modified {
        /// The object.
        object: Arc<T>,
        /// Revision of the change.
        revision: Revision,
    },
    /// An object was deleted, or left the selection: its last state inside, at the revision of the change.
    Deleted {
        /// The object.
        object: Arc<T>,
        /// Revision of the change.
        revision: Revision,
    },
    /// Every change up to `revision` has been delivered.
    Bookmark {
        /// The revision.
        revision: Revision,
        /// This is the end of the initial events.
        initial_end: bool,
    },
}

/// Why the cache cannot answer, or why a watch ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The revision is older than the history kept: 410 Expired.
    #[error("too old resource version: {requested} ({oldest})")]
    TooOld {
        /// The revision asked for.
        requested: Revision,
        /// The oldest revision that would do.
        oldest: Revision,
    },
    /// The cache did not reach the revision in time: 504 with cause `ResourceVersionTooLarge`.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLarge {
        /// The revision asked for.
        requested: Revision,
        /// The cache's revision.
        current: Revision,
    },
    /// The watcher took its events too slowly; it must start anew from the last revision it saw.
    #[error("the watcher was too slow: {limit} events were waiting")]
    Slow {
        /// The limit.
        limit: usize,
    },
    /// The cache lost the thread to the store and was filled anew; the watcher must list again: 410 Expired.
    #[error("the watch cache was filled anew")]
    Refilled,
    /// The cache has not been filled yet.
    #[error("the watch cache is not ready: {reason}")]
    NotReady {
        /// Why not.
        reason: String,
    },
    /// A stored value is not an object.
    #[error("unable to decode the object at {}: {reason}", String::from_utf8_lossy(key))]
    Undecodable {
        /// The key.
        key: Bytes,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cache was closed.
    #[error("the watch cache is closed")]
    Closed,
}
