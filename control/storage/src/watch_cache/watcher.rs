//! One watcher: a queue that the follower fills and a stream that empties it; from changes; to one client.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};

use super::content::View;
use super::{CacheError, Decode, Filter, Inner, WatchEvent};
use crate::history::Change;
use crate::key::KeyRange;
use crate::store::Revision;

/// How many objects of the first state are looked at in one step.
const INITIAL_STEP: usize = 256;
/// How long a bookmark waits for the store to tell its newest revision.
const PROGRESS_GRACE: Duration = Duration::from_millis(100);

/// What a watcher wants and what waits for it.
pub(crate) struct Feed<T> {
    pub(crate) range: KeyRange,
    pub(crate) filter: Option<Filter<T>>,
    pub(crate) index: Option<String>,
    /// Changes up to here are not for it.
    pub(crate) after: Revision,
    queue: Mutex<Queue<T>>,
}

struct Queue<T> {
    events: VecDeque<WatchEvent<T>>,
    waker: Option<Waker>,
    end: Option<CacheError>,
}

impl<T> Feed<T> {
    pub(crate) fn new(range: KeyRange, filter: Option<Filter<T>>, index: Option<String>, after: Revision) -> Self {
        let queue = Queue { events: VecDeque::new(), waker: None, end: None };
        Self { range, filter, index, after, queue: Mutex::new(queue) }
    }
}

impl<T: 'static> Feed<T> {
    /// What the change means to this watcher.
    fn select(&self, change: &Change<Arc<T>>, decode: &dyn Decode<T>) -> Option<WatchEvent<T>> {
        let revision = change.revision;
        if revision <= self.after || !self.range.contains(&change.key) {
            return None;
        }
        let fits = |object: &&Arc<T>| self.filter.as_ref().is_none_or(|filter| filter(object));
        let was = change.previous.as_ref().filter(fits);
        let is = change.current.as_ref().filter(fits);
        match (was, is) {
            (None, None) => None,
            (None, Some(object)) => Some(WatchEvent::Added { object: Arc::clone(object), revision }),
            (Some(_), Some(object)) => Some(WatchEvent::Modified { object: Arc::clone(object), revision }),
            (Some(last), None) => {
                let farewell = change.farewell.get_or_init(|| Arc::new(decode.at_revision(last, revision)));
                Some(WatchEvent::Deleted { object: Arc::clone(farewell), revision })
            }
        }
    }

    /// Queues the change if it is for this watcher; answers whom to wake. `limit` events may wait.
    pub(crate) fn push(&self, change: &Change<Arc<T>>, decode: &dyn Decode<T>, limit: usize) -> Option<Waker> {
        let event = self.select(change, decode)?;
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return None;
        }
        if queue.events.len() >= limit {
            queue.end = Some(CacheError::Slow { limit });
            queue.events = VecDeque::new();
        } else {
            queue.events.push_back(event);
        }
        queue.waker.take()
    }
}

impl<T> Feed<T> {
    /// Ends the watcher once it has taken what waits.
    pub(crate) fn close(&self, error: CacheError) -> Option<Waker> {
        let mut queue = self.queue.lock();
        queue.end.get_or_insert(error);
        queue.waker.take()
    }
}

/// The events of one watch. An error is the last item.
pub struct Watcher<T> {
    inner: Arc<Inner<T>>,
    id: u64,
    feed: Arc<Feed<T>>,
    /// The first state, as far as it has not been delivered.
    initial: Option<View<T>>,
    end_bookmark: Option<Revision>,
    /// Taken from the queue, or from the first state.
    ready: VecDeque<WatchEvent<T>>,
    bookmarks: Option<Bookmarks>,
    ended: bool,
}

struct Bookmarks {
    period: Duration,
    timer: Pin<Box<Sleep>>,
    /// The store has been asked for its revision.
    asked: bool,
}

impl<T: Send + Sync + 'static> Watcher<T> {
    pub(crate) fn new(
        inner: Arc<Inner<T>>,
        (id, feed): (u64, Arc<Feed<T>>),
        initial: Option<View<T>>,
        end_bookmark: bool,
        bookmarks: Option<Duration>,
    ) -> Self {
        let end_bookmark = initial.as_ref().map(View::revision).filter(|_| end_bookmark);
        let bookmarks = bookmarks.map(|period| Bookmarks { period, timer: Box::pin(sleep(period)), asked: false });
        Self { inner, id, feed, initial, end_bookmark, ready: VecDeque::new(), bookmarks, ended: false }
    }

    fn fill_from_initial(&mut self) {
        while self.ready.is_empty()
            && let Some(view) = &mut self.initial
        {
            let (revision, ready) = (view.revision(), &mut self.ready);
            let more = view.take(INITIAL_STEP, self.feed.filter.as_ref(), |object| {
                ready.push_back(WatchEvent::Added { object, revision });
            });
            if !more {
                self.initial = None;
            }
        }
        if self.ready.is_empty()
            && let Some(revision) = self.end_bookmark.take()
        {
            self.ready.push_back(WatchEvent::Bookmark { revision, initial_end: true });
        }
    }

    /// Takes what waits in the queue, or leaves the waker there.
    fn fill_from_queue(&mut self, context: &Context<'_>) -> Result<(), CacheError> {
        let mut queue = self.feed.queue.lock();
        if queue.events.is_empty() {
            if let Some(error) = &queue.end {
                return Err(error.clone());
            }
            if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                queue.waker = Some(context.waker().clone());
            }
        }
        std::mem::swap(&mut self.ready, &mut queue.events);
        Ok(())
    }

    /// Whether it is time for a bookmark, and which.
    fn bookmark(&mut self, context: &mut Context<'_>) -> Option<Revision> {
        let bookmarks = self.bookmarks.as_mut()?;
        while bookmarks.timer.as_mut().poll(context).is_ready() {
            if !bookmarks.asked {
                bookmarks.asked = true;
                bookmarks.timer.as_mut().reset(Instant::now() + PROGRESS_GRACE);
                self.inner.request_progress();
                continue;
            }
            bookmarks.asked = false;
            bookmarks.timer.as_mut().reset(Instant::now() + bookmarks.period);
            // read before the queue is looked at: what is published has been queued
            let published = self.inner.published.load(Ordering::Acquire);
            let queue = self.feed.queue.lock();
            if queue.events.is_empty() && queue.end.is_none() && published >= self.feed.after {
                return Some(published);
            }
            context.waker().wake_by_ref();
        }
        None
    }
}

impl<T: Send + Sync + 'static> Stream for Watcher<T> {
    type Item = Result<WatchEvent<T>, CacheError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.ready.is_empty() {
            this.fill_from_initial();
        }
        if this.ready.is_empty()
            && let Err(error) = this.fill_from_queue(context)
        {
            this.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(event) = this.ready.pop_front() {
            if this.ready.is_empty() {
                this.ready.shrink_to(64);
                if let Some(bookmarks) = &mut this.bookmarks {
                    bookmarks.asked = false;
                    bookmarks.timer.as_mut().reset(Instant::now() + bookmarks.period);
                }
            }
            return Poll::Ready(Some(Ok(event)));
        }
        match this.bookmark(context) {
            Some(revision) => Poll::Ready(Some(Ok(WatchEvent::Bookmark { revision, initial_end: false }))),
            None => Poll::Pending,
        }
    }
}

impl<T> Unpin for Watcher<T> {}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        self.inner.routes.lock().remove(self.id, &self.feed);
    }
}
