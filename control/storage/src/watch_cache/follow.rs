//! The follower: one task per cache; from the store's list and watch; to content and watchers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::content::Content;
use super::{CacheError, Inner};
use crate::key::key_after;
use crate::store::{Event, RangeRequest, Revision, StoreError, WatchItem};

/// Objects are listed in pages of this size.
const PAGE: usize = 500;
/// The first and the longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Follows the store until the cache is dropped (the task is aborted).
pub(crate) async fn run<T: Send + Sync + 'static>(inner: Arc<Inner<T>>) {
    let mut pause = RETRY.0;
    let mut fill_needed = true;
    loop {
        let before = inner.content.read().revision;
        let error = match follow(&inner, fill_needed).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        fill_needed = matches!(error, StoreError::Compacted { .. }) || inner.content.read().revision == 0;
        if inner.content.read().revision > before {
            pause = RETRY.0;
        }
        let prefix = String::from_utf8_lossy(&inner.range.start);
        if matches!(error, StoreError::Compacted { .. }) {
            warn!(%prefix, "the watch cache fell behind, filling it anew");
        } else {
            warn!(%prefix, error = %Report(&error), "the watch cache lost the store, will retry");
        }
        inner.note_failure(pause > RETRY.0);
        sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// An error with its causes in one line.
struct Report<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

async fn follow<T: Send + Sync + 'static>(
    inner: &Arc<Inner<T>>,
    fill_needed: bool,
) -> Result<std::convert::Infallible, StoreError> {
    if fill_needed {
        fill(inner).await?;
    }
    let from = inner.content.read().revision + 1;
    let mut watch = inner.store.watch(inner.range.clone(), from).await?;
    *inner.progress.lock() = Some(watch.progress.clone());
    // somebody may have asked while there was no watch
    watch.progress.request();
    while let Some(item) = watch.items.next().await {
        match item? {
            WatchItem::Events(events) => apply(inner, events),
            WatchItem::Progress(revision) => advance(inner, revision),
        }
        tokio::task::yield_now().await;
    }
    Err(StoreError::Unavailable { reason: "the watch ended".to_owned() })
}

/// Reads everything anew. Watchers of an earlier filling end: they may have missed something.
async fn fill<T: Send + Sync + 'static>(inner: &Arc<Inner<T>>) -> Result<(), StoreError> {
    let mut content: Option<Content<T>> = None;
    let mut range = inner.range.clone();
    loop {
        let mut request = RangeRequest::new(range.clone()).limit(PAGE);
        request.at = content.as_ref().map(|content| content.revision);
        let page = inner.store.range(request).await?;
        let content = content.get_or_insert_with(|| Content::new(page.revision));
        let Some(last) = page.items.last() else { break };
        range = range.starting_at(key_after(&last.key));
        let more = page.more;
        for item in page.items {
            let key = bytes::Bytes::copy_from_slice(&item.key);
            match inner.decode.decode(&key, &item.value, item.mod_revision) {
                Ok(object) => content.fill(key, Arc::new(object), inner.decode.as_ref()),
                Err(error) => {
                    warn!(key = %String::from_utf8_lossy(&key), %error, "undecodable object in the store");
                    content.broken.insert(key, error.reason);
                }
            }
        }
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    let Some(content) = content else { return Ok(()) };
    let revision = content.revision;
    let objects = content.map.len();
    let wakers = {
        let routes = inner.routes.lock();
        let mut current = inner.content.write();
        let refilled = current.revision > 0;
        *current = content;
        drop(current);
        inner.published.store(revision, Ordering::Release);
        if refilled { routes.close(&CacheError::Refilled) } else { Vec::new() }
    };
    wakers.into_iter().for_each(std::task::Waker::wake);
    inner.revision.send_replace(revision);
    debug!(prefix = %String::from_utf8_lossy(&inner.range.start), revision, objects, "watch cache filled");
    Ok(())
}

/// A change of the store, decoded.
struct Decoded<T> {
    key: bytes::Bytes,
    object: Option<Arc<T>>,
    broken: Option<String>,
    revision: Revision,
    bytes: usize,
}

/// Takes whole revisions into the content and tells the watchers.
fn apply<T: Send + Sync + 'static>(inner: &Arc<Inner<T>>, events: Vec<Event>) {
    let mut decoded = Vec::with_capacity(events.len());
    for event in events {
        let revision = event.revision();
        let key = bytes::Bytes::copy_from_slice(event.key());
        let mut change = Decoded { key, object: None, broken: None, revision, bytes: 0 };
        if let Event::Put(item) = event {
            change.bytes = item.value.len();
            match inner.decode.decode(&change.key, &item.value, revision) {
                Ok(object) => change.object = Some(Arc::new(object)),
                Err(error) => {
                    warn!(key = %String::from_utf8_lossy(&change.key), %error, "undecodable object in the store");
                    change.broken = Some(error.reason);
                }
            }
        }
        decoded.push(change);
    }
    let Some(newest) = decoded.last().map(|change| change.revision) else { return };
    let mut wake = Vec::new();
    let mut undecodable = None;
    let routes = inner.routes.lock();
    let changes: Vec<_> = {
        let mut content = inner.content.write();
        let changes = decoded
            .into_iter()
            .filter_map(|change| {
                if let Some(reason) = change.broken {
                    // no event: to take it for deleted would make others act on that
                    let key = change.key.clone();
                    undecodable.get_or_insert(CacheError::Undecodable { key, reason: reason.clone() });
                    content.broken.insert(change.key, reason);
                    return None;
                }
                content.broken.remove(&change.key);
                content.change(&change.key, change.object, change.revision, change.bytes, inner.decode.as_ref())
            })
            .collect();
        content.revision = newest;
        content.trim(inner.options.keep(), Instant::now());
        changes
    };
    for change in &changes {
        routes.push(change, inner.decode.as_ref(), inner.options.watcher_events, &mut wake);
    }
    if let Some(error) = undecodable {
        wake.extend(routes.close(&error));
    }
    inner.published.store(newest, Ordering::Release);
    drop(routes);
    wake.into_iter().for_each(std::task::Waker::wake);
    inner.revision.send_replace(newest);
}

/// Nothing else happened up to `revision`.
fn advance<T>(inner: &Arc<Inner<T>>, revision: Revision) {
    {
        let routes = inner.routes.lock();
        let mut content = inner.content.write();
        if revision <= content.revision {
            return;
        }
        content.revision = revision;
        inner.published.store(revision, Ordering::Release);
        drop(content);
        drop(routes);
    }
    inner.revision.send_replace(revision);
}
