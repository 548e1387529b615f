//! What the cache holds: objects, recent changes and the revision they are at; from the follower; to readers. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{CacheError, Decode, Filter, ListResponse};
use crate::history::{Change, History, overlay};
use crate::key::KeyRange;
use crate::sorted_map::SortedMap;
use crate::store::Revision;

/// What keeping a change costs beside the object.
const CHANGE_BYTES: usize = 256;
/// So many changes are kept however old they are.
const MIN_CHANGES: usize = 128;
/// The age of changes is noted in steps of this.
const AGE_STEP: Duration = Duration::from_secs(10);

/// Limits of the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

/// The objects at one revision, and how they came to be.
pub(crate) struct Content<T> {
    pub(crate) map: SortedMap<Arc<T>>,
    pub(crate) history: History<Arc<T>>,
    /// All changes up to here are in. 0: not filled yet.
    pub(crate) revision: Revision,
    /// Nothing has changed since.
    pub(crate) changed: Revision,
    /// Keys by the value of the index, where it has one.
    index: HashMap<String, BTreeSet<Bytes>>,
    /// Stored values that are no objects, with the reason.
    pub(crate) broken: BTreeMap<Bytes, String>,
    /// Revisions with the times when they were the newest.
    ages: VecDeque<(Instant, Revision)>,
}

impl<T> Content<T> {
    pub(crate) fn new(revision: Revision) -> Self {
        Self {
            map: SortedMap::default(),
            history: History::new(revision),
            revision,
            changed: revision,
            index: HashMap::new(),
            broken: BTreeMap::new(),
            ages: VecDeque::new(),
        }
    }

    /// Makes `key` hold `object` since `revision`.
    pub(crate) fn change(
        &mut self,
        key: &Bytes,
        object: Option<Arc<T>>,
        revision: Revision,
        bytes: usize,
        decode: &dyn Decode<T>,
    ) -> Option<Arc<Change<Arc<T>>>>
    where
        T: 'static,
    {
        let previous = match &object {
            Some(object) => self.map.insert(key.clone(), Arc::clone(object)),
            None => self.map.remove(key),
        };
        if previous.is_none() && object.is_none() {
            return None;
        }
        self.changed = revision;
        let (before, after) = (index_of(previous.as_ref(), decode), index_of(object.as_ref(), decode));
        if before != after {
            if let Some(value) = before {
                self.unindex(value, key);
            }
            if let Some(value) = after {
                self.index.entry(value.to_owned()).or_default().insert(key.clone());
            }
        }
        let change = Arc::new(Change::new(revision, key.clone(), previous, object, CHANGE_BYTES + bytes));
        self.history.push(Arc::clone(&change));
        Some(change)
    }

    /// Takes an object of the first state in.
    pub(crate) fn fill(&mut self, key: Bytes, object: Arc<T>, decode: &dyn Decode<T>)
    where
        T: 'static,
    {
        if let Some(value) = index_of(Some(&object), decode) {
            self.index.entry(value.to_owned()).or_default().insert(key.clone());
        }
        self.map.insert(key, object);
    }

    fn unindex(&mut self, value: &str, key: &Bytes) {
        if let Some(keys) = self.index.get_mut(value) {
            keys.remove(key);
            if keys.is_empty() {
                self.index.remove(value);
            }
        }
    }

    /// The objects whose index has this value, in key order, without those that cannot be decoded.
    pub(crate) fn indexed(&self, value: &str) -> Vec<Arc<T>> {
        let keys = self.index.get(value).into_iter().flatten().filter(|key| !self.broken.contains_key(*key));
        keys.filter_map(|key| self.map.get(key).cloned()).collect()
    }

    /// Forgets changes that are too many or too old.
    pub(crate) fn trim(&mut self, keep: Keep, now: Instant) {
        while self.history.weight() > keep.bytes
            && let Some(oldest) = self.history.oldest()
        {
            self.history.forget(oldest);
        }
        if self.ages.back().is_none_or(|(noted, _)| now.duration_since(*noted) >= AGE_STEP) {
            self.ages.push_back((now, self.revision));
        }
        while let Some((_, revision)) = self.ages.pop_front_if(|(noted, _)| now.duration_since(*noted) > keep.age) {
            while self.history.len() > MIN_CHANGES
                && let Some(oldest) = self.history.oldest().filter(|oldest| *oldest <= revision)
            {
                self.history.forget(oldest);
            }
        }
    }

    /// What is needed to list `range` without the content; `at`: the revision, else the newest.
    pub(crate) fn view(&self, range: KeyRange, at: Option<Revision>) -> Result<View<T>, CacheError> {
        if let Some((key, reason)) =
            self.broken.range(range.start.clone()..).next().filter(|(key, _)| range.contains(key))
        {
            return Err(CacheError::Undecodable { key: key.clone(), reason: reason.clone() });
        }
        let revision = at.unwrap_or(self.revision);
        let floor = self.history.floor();
        if revision < floor {
            return Err(CacheError::TooOld { requested: revision, oldest: floor });
        }
        let old = if revision < self.revision { self.history.undo(revision, &range) } else { BTreeMap::new() };
        Ok(View { map: self.map.clone(), old, range, revision })
    }
}

/// The value an object is indexed by; objects with an empty one are not looked for.
fn index_of<'a, T: 'static>(object: Option<&'a Arc<T>>, decode: &dyn Decode<T>) -> Option<&'a str> {
    object.and_then(|object| decode.index(object)).filter(|value| !value.is_empty())
}

/// A state of a range that can be read without a lock.
pub(crate) struct View<T> {
    map: SortedMap<Arc<T>>,
    old: BTreeMap<Bytes, Option<Arc<T>>>,
    range: KeyRange,
    revision: Revision,
}

impl<T> View<T> {
    /// About how many objects there are to look at.
    pub(crate) fn len(&self) -> usize {
        self.map.count(&self.range)
    }

    pub(crate) fn list(self, limit: usize, filter: Option<&Filter<T>>) -> ListResponse<T> {
        let Self { map, old, range, revision } = self;
        let fits = |object: &Arc<T>| filter.is_none_or(|filter| filter(object));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let born = old.iter().filter(|(key, then)| then.is_some() && map.get(key).is_none()).count();
        let gone = old.iter().filter(|(key, then)| then.is_none() && map.get(key).is_some()).count();
        let total = (map.count(&range) + born).saturating_sub(gone);
        let mut items = Vec::new();
        if filter.is_none() {
            items.reserve_exact(total.min(limit));
        }
        let mut next = None;
        let mut add = |key: &Bytes, object: &Arc<T>| {
            if items.len() < limit {
                items.push(Arc::clone(object));
                return true;
            }
            next = Some(key.clone());
            false
        };
        if old.is_empty() {
            for (key, object) in map.range(&range) {
                if fits(object) && !add(key, object) {
                    break;
                }
            }
        } else {
            for (key, object) in overlay(map.range(&range), old) {
                if fits(&object) && !add(&key, &object) {
                    break;
                }
            }
        }
        let remaining = filter.is_none().then(|| (total - items.len()) as u64);
        let remaining = remaining.filter(|_| next.is_some());
        ListResponse { items, revision, next, remaining }
    }

    /// Takes up to `count` objects from the front of the range; used once per call, as the first state of a watch.
    pub(crate) fn take(&mut self, count: usize, filter: Option<&Filter<T>>, mut give: impl FnMut(Arc<T>)) -> bool {
        let mut left = count;
        let mut resume = None;
        for (key, object) in self.map.range(&self.range) {
            if left == 0 {
                resume = Some(key.clone());
                break;
            }
            left -= 1;
            if filter.is_none_or(|filter| filter(object)) {
                give(Arc::clone(object));
            }
        }
        let more = resume.is_some();
        if let Some(key) = resume {
            self.range.start = key;
        }
        more
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }
}
