//! All objects below one key prefix, in memory, with recent history; from a store's watch; to every reader and watcher.
//!
//! One task per cache follows the store: list, then watch, then for every change: map and history, then every watcher
//! whose range and filter fit. Readers take a snapshot of the map and hold no lock while they look at it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::content::{Content, Keep};
use self::routes::Routes;
use self::watcher::Feed;
use crate::key::KeyRange;
use crate::store::{ProgressRequester, Revision, Store};

mod request;

mod content;
mod follow;
mod routes;
mod watcher;

pub use self::request::{
    CacheError, Decode, DecodeError, Filter, Freshness, ListAt, ListRequest, ListResponse, WatchEvent, WatchFrom,
    WatchRequest,
};
pub use self::watcher::Watcher;

/// Limits of a cache.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Recent changes are kept up to so many bytes of stored values …
    pub history_bytes: usize,
    /// … and so long; some are kept longer while nothing else happens.
    pub history_age: Duration,
    /// So many events may wait for one watcher before it is ended as too slow.
    pub watcher_events: usize,
    /// A read waits so long for the revision it needs (`CacheError::TooLarge`, `NotReady`).
    pub fresh_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_bytes: 16 << 20,
            history_age: Duration::from_secs(300),
            watcher_events: 8192,
            fresh_timeout: Duration::from_secs(3),
        }
    }
}

impl Options {
    fn keep(&self) -> Keep {
        Keep { bytes: self.history_bytes, age: self.history_age }
    }
}

/// A list this large is put together on a thread that may block.
const LARGE_LIST: usize = 5_000;
/// A reader that waits for progress asks the store anew after this.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What the handle, the follower and the watchers share.
pub(crate) struct Inner<T> {
    store: Arc<dyn Store>,
    range: KeyRange,
    decode: Arc<dyn Decode<T>>,
    options: Options,
    content: RwLock<Content<T>>,
    /// Locked before `content`, so that a watcher starts exactly between two changes.
    routes: Mutex<Routes<T>>,
    /// Changes up to here are in the watchers' queues.
    published: AtomicU64,
    /// The content's revision, for those who wait for it; 0: not filled.
    revision: watch::Sender<Revision>,
    progress: Mutex<Option<ProgressRequester>>,
    /// The store has failed more than once in a row.
    failing: AtomicBool,
}

impl<T> Inner<T> {
    fn request_progress(&self) {
        let progress = self.progress.lock().clone();
        if let Some(progress) = progress {
            progress.request();
        }
    }

    fn note_failure(&self, again: bool) {
        self.failing.store(again, Ordering::Relaxed);
    }
}

/// The objects below one prefix, in memory.
pub struct WatchCache<T> {
    inner: Arc<Inner<T>>,
    follower: JoinHandle<()>,
}

impl<T> fmt::Debug for WatchCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchCache").field("range", &self.inner.range).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> WatchCache<T> {
    /// Starts to follow all keys of `store` which begin with `prefix`, in a task on the current runtime. The task ends, and
    /// all watchers with it, when the cache is dropped.
    pub fn start(store: Arc<dyn Store>, prefix: Bytes, decode: Arc<dyn Decode<T>>, options: Options) -> Arc<Self> {
        let inner = Arc::new(Inner {
            store,
            range: KeyRange::prefix(prefix),
            decode,
            options,
            content: RwLock::new(Content::new(0)),
            routes: Mutex::new(Routes::new()),
            published: AtomicU64::new(0),
            revision: watch::Sender::new(0),
            progress: Mutex::new(None),
            failing: AtomicBool::new(false),
        });
        let follower = tokio::spawn(follow::run(Arc::clone(&inner)));
        Arc::new(Self { inner, follower })
    }

    /// Waits until the cache has been filled.
    ///
    /// # Errors
    /// `NotReady` after `timeout`.
    pub async fn ready(&self, timeout: Duration) -> Result<(), CacheError> {
        self.wait_for(1, Instant::now() + timeout).await
    }

    /// The cache's revision: all changes up to it can be read. 0 until the cache has been filled.
    pub fn revision(&self) -> Revision {
        *self.inner.revision.borrow()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.inner.content.read().map.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of running watches.
    pub fn watchers(&self) -> usize {
        self.inner.routes.lock().len()
    }

    /// The stored values that are no objects, with the reasons.
    pub fn undecodable(&self) -> Vec<(Bytes, String)> {
        self.inner.content.read().broken.iter().map(|(key, reason)| (key.clone(), reason.clone())).collect()
    }

    /// One object as the cache has it now, without waiting; for rules that are evaluated synchronously.
    pub fn peek(&self, key: &[u8]) -> Option<Arc<T>> {
        let content = self.inner.content.read();
        content.map.get(key).filter(|_| !content.broken.contains_key(key)).cloned()
    }

    /// The objects of a range as the cache has them now, without waiting and without those that cannot be decoded.
    pub fn snapshot(&self, range: KeyRange) -> Vec<Arc<T>> {
        let content = self.inner.content.read();
        let (map, broken) = (content.map.clone(), content.broken.clone());
        drop(content);
        let whole = map.range(&range).filter(|(key, _)| !broken.contains_key(*key));
        whole.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// The objects whose [`Decode::index`] has this (not empty) value as the cache has them now, without waiting.
    pub fn indexed(&self, value: &str) -> Vec<Arc<T>> {
        self.inner.content.read().indexed(value)
    }

    /// A revision since which no object has changed, as the cache knows it now; it moves only with changes.
    pub fn changed(&self) -> Revision {
        self.inner.content.read().changed
    }

    /// One object.
    ///
    /// # Errors
    /// `TooLarge` or `NotReady` when the cache does not get fresh enough in time; `Undecodable`; `Store`.
    pub async fn get(&self, key: &[u8], freshness: Freshness) -> Result<Option<Arc<T>>, CacheError> {
        self.wait_until_fresh(freshness).await?;
        let content = self.inner.content.read();
        if let Some((key, reason)) = content.broken.get_key_value(key) {
            return Err(CacheError::Undecodable { key: key.clone(), reason: reason.clone() });
        }
        Ok(content.map.get(key).cloned())
    }

    /// The objects of a range, in key order.
    ///
    /// # Errors
    /// As for [`Self::get`]; `TooOld` when the exact revision is no longer known.
    pub async fn list(&self, request: ListRequest<T>) -> Result<ListResponse<T>, CacheError> {
        let ListRequest { range, at, limit, filter } = request;
        let at = match at {
            ListAt::Newest(freshness) => {
                self.wait_until_fresh(freshness).await?;
                None
            }
            ListAt::Exact(revision) => {
                self.wait_until_fresh(Freshness::AtLeast(revision)).await?;
                Some(revision)
            }
        };
        let view = self.inner.content.read().view(range, at)?;
        if (limit != 0 && filter.is_none()) || view.len() < LARGE_LIST {
            return Ok(view.list(limit, filter.as_ref()));
        }
        let list = tokio::task::spawn_blocking(move || view.list(limit, filter.as_ref()));
        list.await.map_err(|error| CacheError::NotReady { reason: error.to_string() })
    }

    /// Starts a watch.
    ///
    /// # Errors
    /// As for [`Self::get`]; `TooOld` when the changes after the revision are no longer known.
    pub async fn watch(&self, request: WatchRequest<T>) -> Result<Watcher<T>, CacheError> {
        let WatchRequest { range, from, filter, index, bookmarks } = request;
        match from {
            WatchFrom::State { freshness, .. } | WatchFrom::Now(freshness) => self.wait_until_fresh(freshness).await?,
            WatchFrom::After(_) => self.wait_until_fresh(Freshness::Any).await?,
        }
        let inner = &self.inner;
        let mut routes = inner.routes.lock();
        let content = inner.content.read();
        let (after, initial, end_bookmark) = match from {
            WatchFrom::After(revision) => (revision, None, false),
            WatchFrom::Now(_) => (content.revision, None, false),
            WatchFrom::State { end_bookmark, .. } => {
                (content.revision, Some(content.view(range.clone(), None)?), end_bookmark)
            }
        };
        let floor = content.history.floor();
        if after < floor {
            return Err(CacheError::TooOld { requested: after, oldest: floor });
        }
        let feed = Arc::new(Feed::new(range, filter, index, after));
        for change in content.history.after(after) {
            drop(feed.push(change, inner.decode.as_ref(), usize::MAX));
        }
        drop(content);
        let id = routes.add(&feed);
        drop(routes);
        Ok(Watcher::new(Arc::clone(inner), (id, feed), initial, end_bookmark, bookmarks))
    }

    async fn wait_until_fresh(&self, freshness: Freshness) -> Result<(), CacheError> {
        let deadline = Instant::now() + self.inner.options.fresh_timeout;
        let revision = match freshness {
            Freshness::Any => 1,
            Freshness::AtLeast(revision) => revision.max(1),
            Freshness::Latest => match timeout_at(deadline, self.inner.store.revision()).await {
                Ok(revision) => revision?,
                Err(_elapsed) => {
                    let reason = "the store did not tell its revision in time".to_owned();
                    return Err(CacheError::NotReady { reason });
                }
            },
        };
        self.wait_for(revision, deadline).await
    }

    /// Waits until the cache is at `revision`; asks the store for progress meanwhile.
    async fn wait_for(&self, revision: Revision, deadline: Instant) -> Result<(), CacheError> {
        if *self.inner.revision.borrow() >= revision {
            return Ok(());
        }
        let mut current = self.inner.revision.subscribe();
        loop {
            self.inner.request_progress();
            let again = (Instant::now() + ASK_AGAIN).min(deadline);
            match timeout_at(again, current.wait_for(|current| *current >= revision)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_closed)) => return Err(CacheError::Closed),
                Err(_elapsed) if Instant::now() < deadline => {}
                Err(_elapsed) => break,
            }
        }
        let current = self.revision();
        if current == 0 {
            let failing = self.inner.failing.load(Ordering::Relaxed);
            let reason = if failing { "the store fails" } else { "it is being filled" };
            return Err(CacheError::NotReady { reason: reason.to_owned() });
        }
        Err(CacheError::TooLarge { requested: revision, current })
    }
}

impl<T> Drop for WatchCache<T> {
    fn drop(&mut self) {
        self.follower.abort();
        let wakers = self.inner.routes.lock().close(&CacheError::Closed);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

#[cfg(test)]
mod tests;
