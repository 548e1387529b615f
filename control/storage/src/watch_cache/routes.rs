//! Which watchers a change concerns; from the follower; to their queues. Pure but for the queues.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::watcher::Feed;
use super::{CacheError, Decode};
use crate::history::Change;

type Feeds<T> = BTreeMap<u64, Arc<Feed<T>>>;

/// All watchers, by what they watch: a watcher of one key or of one value of the index costs nothing for other events.
pub(crate) struct Routes<T> {
    next: u64,
    by_key: HashMap<Bytes, Feeds<T>>,
    by_index: HashMap<String, Feeds<T>>,
    ranges: Feeds<T>,
}

impl<T> Routes<T> {
    pub(crate) fn new() -> Self {
        Self { next: 0, by_key: HashMap::new(), by_index: HashMap::new(), ranges: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, feed: &Arc<Feed<T>>) -> u64 {
        let id = self.next;
        self.next += 1;
        let group = if feed.range.is_single() {
            self.by_key.entry(feed.range.start.clone()).or_default()
        } else if let Some(index) = &feed.index {
            self.by_index.entry(index.clone()).or_default()
        } else {
            &mut self.ranges
        };
        group.insert(id, Arc::clone(feed));
        id
    }

    pub(crate) fn remove(&mut self, id: u64, feed: &Feed<T>) {
        fn remove_from<K: std::hash::Hash + Eq, T>(groups: &mut HashMap<K, Feeds<T>>, key: K, id: u64) {
            if let std::collections::hash_map::Entry::Occupied(mut group) = groups.entry(key) {
                group.get_mut().remove(&id);
                if group.get().is_empty() {
                    group.remove();
                }
            }
        }
        if feed.range.is_single() {
            remove_from(&mut self.by_key, feed.range.start.clone(), id);
        } else if let Some(index) = &feed.index {
            remove_from(&mut self.by_index, index.clone(), id);
        } else {
            self.ranges.remove(&id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        let grouped = self.by_key.values().map(BTreeMap::len).sum::<usize>();
        grouped + self.by_index.values().map(BTreeMap::len).sum::<usize>() + self.ranges.len()
    }
}

impl<T: 'static> Routes<T> {
    /// Queues a change for everybody it concerns; whom to wake is appended to `wake`.
    pub(crate) fn push(&self, change: &Change<Arc<T>>, decode: &dyn Decode<T>, limit: usize, wake: &mut Vec<Waker>) {
        let mut give =
            |feeds: &Feeds<T>| wake.extend(feeds.values().filter_map(|feed| feed.push(change, decode, limit)));
        give(&self.ranges);
        if let Some(feeds) = self.by_key.get(&change.key) {
            give(feeds);
        }
        if self.by_index.is_empty() {
            return;
        }
        let before = change.previous.as_ref().and_then(|object| decode.index(object));
        let after = change.current.as_ref().and_then(|object| decode.index(object));
        if let Some(feeds) = before.and_then(|value| self.by_index.get(value)) {
            give(feeds);
        }
        if let Some(feeds) = after.filter(|_| after != before).and_then(|value| self.by_index.get(value)) {
            give(feeds);
        }
    }
}

impl<T> Routes<T> {
    /// Ends all watchers.
    pub(crate) fn close(&self, error: &CacheError) -> Vec<Waker> {
        let groups = self.by_key.values().chain(self.by_index.values()).chain([&self.ranges]);
        groups.flat_map(BTreeMap::values).filter_map(|feed| feed.close(error.clone())).collect()
    }
}
