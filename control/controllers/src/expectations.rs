//! Creations and deletions that a controller has asked for and not yet seen. From executors and watch events; to
//! each round of work, which waits while the cache is known to lag. Pure.

use crate::object_key::ObjectKey;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// After this long an expectation no longer holds work back: the event was lost or merged.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What each owner still expects to see in the cache.
#[derive(Debug, Default)]
pub struct Expectations {
    owners: Mutex<HashMap<ObjectKey, Expected>>,
}

#[derive(Debug)]
struct Expected {
    creations: usize,
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    /// Whether the cache shows all that `owner` has asked for, or has had time enough to.
    pub fn fulfilled(&self, owner: &ObjectKey) -> bool {
        self.owners.lock().get(owner).is_none_or(|expected| {
            (expected.creations == 0 && expected.deletions.is_empty()) || expected.since.elapsed() > PATIENCE
        })
    }

    /// `owner` is about to create `count` objects.
    pub fn expect_creations(&self, owner: &ObjectKey, count: usize) {
        let mut owners = self.owners.lock();
        let expected = fresh(&mut owners, owner);
        expected.creations = expected.creations.saturating_add(count);
    }

    /// `owner` is about to delete the objects with these uids.
    pub fn expect_deletions(&self, owner: &ObjectKey, uids: impl IntoIterator<Item = String>) {
        let mut owners = self.owners.lock();
        fresh(&mut owners, owner).deletions.extend(uids);
    }

    /// An object of `owner` was seen to appear, or its creation failed.
    pub fn created(&self, owner: &ObjectKey) {
        if let Some(expected) = self.owners.lock().get_mut(owner) {
            expected.creations = expected.creations.saturating_sub(1);
        }
    }

    /// An object of `owner` was seen to go, or its deletion failed.
    pub fn deleted(&self, owner: &ObjectKey, uid: &str) {
        if let Some(expected) = self.owners.lock().get_mut(owner) {
            expected.deletions.remove(uid);
        }
    }

    /// `owner` is gone.
    pub fn forget(&self, owner: &ObjectKey) {
        self.owners.lock().remove(owner);
    }
}

fn fresh<'a>(owners: &'a mut HashMap<ObjectKey, Expected>, owner: &ObjectKey) -> &'a mut Expected {
    let expected = owners.entry(owner.clone()).or_insert_with(|| Expected {
        creations: 0,
        deletions: HashSet::new(),
        since: Instant::now(),
    });
    expected.since = Instant::now();
    expected
}
