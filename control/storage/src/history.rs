//! The recent changes of a map, by revision; from its writer; to watches and reads of the past. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::key::KeyRange;
use crate::store::Revision;

/// One change of one key.
#[derive(Debug)]
pub(crate) struct Change<V> {
    pub(crate) revision: Revision,
    pub(crate) key: Bytes,
    /// What was there before.
    pub(crate) previous: Option<V>,
    /// What is there now; `None`: deleted.
    pub(crate) current: Option<V>,
    /// What keeping the change costs, in bytes.
    pub(crate) weight: usize,
    /// `previous` stamped with `revision`, made when first needed.
    pub(crate) farewell: OnceLock<V>,
}

impl<V> Change<V> {
    pub(crate) fn new(revision: Revision, key: Bytes, previous: Option<V>, current: Option<V>, weight: usize) -> Self {
        Self { revision, key, previous, current, weight, farewell: OnceLock::new() }
    }
}

/// Changes in the order of their revisions, without a gap after `floor`.
#[derive(Debug)]
pub(crate) struct History<V> {
    changes: VecDeque<Arc<Change<V>>>,
    floor: Revision,
    weight: usize,
}

impl<V: Clone> History<V> {
    /// An empty history which knows everything after `floor`.
    pub(crate) fn new(floor: Revision) -> Self {
        Self { changes: VecDeque::new(), floor, weight: 0 }
    }

    /// Changes after this revision are known, states at or after it can be told.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// The bytes that the history keeps.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(crate) fn push(&mut self, change: Arc<Change<V>>) {
        self.weight += change.weight;
        self.changes.push_back(change);
    }

    /// Takes back the newest change if it is newer than `revision`.
    pub(crate) fn pop_after(&mut self, revision: Revision) -> Option<Arc<Change<V>>> {
        let change = self.changes.pop_back_if(|change| change.revision > revision)?;
        self.weight -= change.weight;
        Some(change)
    }

    /// Changes after `revision`, oldest first.
    pub(crate) fn after(&self, revision: Revision) -> impl Iterator<Item = &Arc<Change<V>>> {
        let start = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(start..)
    }

    /// Revision of the oldest change kept.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.changes.front().map(|change| change.revision)
    }

    /// Forgets all changes up to `revision`.
    pub(crate) fn forget(&mut self, revision: Revision) {
        while let Some(change) = self.changes.pop_front_if(|change| change.revision <= revision) {
            self.weight -= change.weight;
        }
        self.floor = self.floor.max(revision);
        if self.changes.capacity() > 4 * self.changes.len().max(16) {
            self.changes.shrink_to(2 * self.changes.len());
        }
    }

    /// How the state at `revision` differs from the newest one within `range`: the keys changed since, as they were.
    pub(crate) fn undo(&self, revision: Revision, range: &KeyRange) -> BTreeMap<Bytes, Option<V>> {
        let mut old = BTreeMap::new();
        for change in self.after(revision).filter(|change| range.contains(&change.key)) {
            old.entry(change.key.clone()).or_insert_with(|| change.previous.clone());
        }
        old
    }
}

/// Walks the newest entries of a range in key order, with those of `old` put in their place.
pub(crate) fn overlay<'a, V: Clone + 'a>(
    newest: impl Iterator<Item = (&'a Bytes, &'a V)>,
    old: BTreeMap<Bytes, Option<V>>,
) -> impl Iterator<Item = (Bytes, V)> {
    let mut newest = newest.peekable();
    let mut old = old.into_iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let order = match (newest.peek(), old.peek()) {
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((now, _)), Some((then, _))) => (*now).cmp(then),
            };
            if order.is_lt() {
                return newest.next().map(|(key, value)| (key.clone(), value.clone()));
            }
            if order.is_eq() {
                newest.next();
            }
            if let Some((key, Some(value))) = old.next() {
                return Some((key, value));
            }
        }
    })
}

#[cfg(test)]
mod tests;
