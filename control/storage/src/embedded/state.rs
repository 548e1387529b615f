//! Keys, history and leases in memory; from transactions and recovery; to answers and log records. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::record::{self, Record};
use crate::history::{Change, History, overlay};
use crate::key::KeyRange;
use crate::sorted_map::SortedMap;
use crate::store::{
    Compare, KeyValue, LeaseId, Op, OpResponse, RangeRequest, RangeResponse, Revision, StoreError, Txn, TxnResponse,
};

/// What keeping a change costs beside the old value.
const CHANGE_BYTES: usize = 256;

/// A lease and its keys.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) ttl: Duration,
    pub(crate) deadline: Instant,
    keys: BTreeSet<Bytes>,
}

/// The store's content at its newest revision, durable or not.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) map: SortedMap<Arc<KeyValue>>,
    pub(crate) history: History<Arc<KeyValue>>,
    pub(crate) revision: Revision,
    /// What `compact` was told.
    pub(crate) compacted: Revision,
    pub(crate) live_bytes: u64,
    pub(crate) leases: HashMap<LeaseId, Lease>,
    deadlines: BTreeSet<(Instant, LeaseId)>,
}

impl State {
    pub(crate) fn new(revision: Revision, compacted: Revision) -> Self {
        Self {
            map: SortedMap::default(),
            history: History::new(revision),
            revision,
            compacted,
            live_bytes: 0,
            leases: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Makes `key` hold `item`; answers what it held. No history.
    pub(crate) fn set(&mut self, key: &Bytes, item: Option<Arc<KeyValue>>) -> Option<Arc<KeyValue>> {
        let lease = item.as_ref().map_or(LeaseId::NONE, |item| item.lease);
        self.live_bytes += item.as_ref().map_or(0, |item| size(item));
        let previous = match item {
            Some(item) => self.map.insert(key.clone(), item),
            None => self.map.remove(key),
        };
        let old_lease = previous.as_ref().map_or(LeaseId::NONE, |item| item.lease);
        self.live_bytes -= previous.as_ref().map_or(0, |item| size(item));
        if lease != old_lease {
            if let Some(old) = self.leases.get_mut(&old_lease) {
                old.keys.remove(key);
            }
            if let Some(new) = self.leases.get_mut(&lease) {
                new.keys.insert(key.clone());
            }
        }
        previous
    }

    /// Puts a key at `revision`, which becomes the newest.
    pub(crate) fn put(&mut self, key: Bytes, value: Bytes, lease: LeaseId, revision: Revision) {
        let (create_revision, version) =
            self.map.get(&key).map_or((revision, 1), |old| (old.create_revision, old.version + 1));
        let item =
            Arc::new(KeyValue { key: key.clone(), value, create_revision, mod_revision: revision, version, lease });
        let previous = self.set(&key, Some(Arc::clone(&item)));
        self.record(revision, key, previous, Some(item));
    }

    /// Deletes a key at `revision`, which becomes the newest; does nothing when there is no such key.
    pub(crate) fn delete(&mut self, key: &Bytes, revision: Revision) -> bool {
        let Some(previous) = self.set(key, None) else { return false };
        self.record(revision, key.clone(), Some(previous), None);
        true
    }

    fn record(&mut self, revision: Revision, key: Bytes, old: Option<Arc<KeyValue>>, new: Option<Arc<KeyValue>>) {
        let weight = CHANGE_BYTES + key.len() + old.as_ref().map_or(0, |old| old.value.len());
        self.revision = revision;
        self.history.push(Arc::new(Change::new(revision, key, old, new, weight)));
    }

    /// Takes back everything after `revision`.
    pub(crate) fn roll_back(&mut self, revision: Revision, leases: Vec<(LeaseId, Option<Lease>)>) {
        for (id, lease) in leases.into_iter().rev() {
            self.remove_lease(id);
            if let Some(lease) = lease {
                self.deadlines.insert((lease.deadline, id));
                self.leases.insert(id, lease);
            }
        }
        while let Some(change) = self.history.pop_after(revision) {
            self.set(&change.key, change.previous.clone());
        }
        self.revision = revision;
    }

    /// Evaluates a transaction and appends what it changes to `log`. An error changes nothing.
    pub(crate) fn txn(&mut self, txn: Txn, log: &mut Vec<u8>) -> Result<TxnResponse, StoreError> {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let steps = if succeeded { txn.success } else { txn.failure };
        self.check(&steps)?;
        let before = self.revision;
        let revision = before + 1;
        let mut responses = Vec::with_capacity(steps.len());
        for step in steps {
            responses.push(match step {
                Op::Put { key, value, lease } => {
                    record::encode_put(log, &key, &value, lease);
                    let (key, value) = record::pack(&key, &value);
                    self.put(key, value, lease, revision);
                    OpResponse::Put
                }
                Op::Delete { range } => {
                    let keys: Vec<Bytes> = self.map.range(&range).map(|(key, _)| key.clone()).collect();
                    for key in &keys {
                        record::encode_delete(log, key);
                        self.delete(key, revision);
                    }
                    OpResponse::Delete { deleted: keys.len() as u64 }
                }
                Op::Range(request) => OpResponse::Range(self.view(&request)?.read(&request)),
            });
        }
        if self.revision > before {
            Record::Commit { revision }.encode(log);
        }
        Ok(TxnResponse { revision: self.revision, succeeded, responses })
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision { key, revision } => {
                self.map.get(key).map_or(0, |item| item.mod_revision) == *revision
            }
            Compare::Exists { key } => self.map.get(key).is_some(),
            Compare::Absent { key } => self.map.get(key).is_none(),
        }
    }

    /// Refuses steps that cannot be done, before any is.
    fn check(&self, steps: &[Op]) -> Result<(), StoreError> {
        let invalid = |reason: &str| StoreError::Invalid { reason: reason.to_owned() };
        let mut puts = HashSet::new();
        for step in steps {
            match step {
                Op::Put { key, .. } if key.is_empty() => return Err(invalid("key is not provided")),
                Op::Put { key, lease, .. } => {
                    if *lease != LeaseId::NONE && !self.leases.contains_key(lease) {
                        return Err(StoreError::LeaseNotFound { lease: *lease });
                    }
                    if !puts.insert(key) {
                        return Err(invalid("duplicate key given in txn request"));
                    }
                }
                Op::Range(request) => drop(self.view(request)?),
                Op::Delete { .. } => {}
            }
        }
        for step in steps {
            if let Op::Delete { range } = step
                && puts.iter().any(|key| range.contains(key))
            {
                return Err(invalid("duplicate key given in txn request"));
            }
        }
        Ok(())
    }

    /// The oldest revision that can be read.
    pub(crate) fn oldest_readable(&self) -> Revision {
        self.compacted.max(self.history.floor())
    }

    /// The oldest revision that a watch can start from.
    pub(crate) fn oldest_watchable(&self) -> Revision {
        self.compacted.max(self.history.floor() + 1)
    }

    /// What `request` needs to be answered without the state.
    pub(crate) fn view(&self, request: &RangeRequest) -> Result<View, StoreError> {
        let current = self.revision;
        let old = match request.at {
            Some(at) if at > current => return Err(StoreError::FutureRevision { requested: at, current }),
            Some(at) if at < self.oldest_readable() => {
                return Err(StoreError::Compacted { compacted: self.oldest_readable() });
            }
            Some(at) if at < current => self.history.undo(at, &request.range),
            Some(_) | None => Default::default(),
        };
        Ok(View { map: self.map.clone(), old, revision: current })
    }

    /// Forgets history up to the state at `revision`; changes in `revision` itself stay known to watches.
    pub(crate) fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision);
        self.history.forget(revision.saturating_sub(1));
    }

    /// Forgets the oldest history until at most `limit` bytes of it are left; nothing after `durable`.
    pub(crate) fn trim(&mut self, limit: usize, durable: Revision) {
        while self.history.weight() > limit
            && let Some(oldest) = self.history.oldest().filter(|oldest| *oldest <= durable)
        {
            self.history.forget(oldest);
        }
    }

    pub(crate) fn insert_lease(&mut self, id: LeaseId, ttl: Duration, now: Instant) {
        let keys = self.remove_lease(id).map(|lease| lease.keys).unwrap_or_default();
        let deadline = now + ttl;
        self.deadlines.insert((deadline, id));
        self.leases.insert(id, Lease { ttl, deadline, keys });
    }

    pub(crate) fn renew_lease(&mut self, id: LeaseId, now: Instant) -> Option<Duration> {
        let lease = self.leases.get_mut(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        lease.deadline = now + lease.ttl;
        self.deadlines.insert((lease.deadline, id));
        Some(lease.ttl)
    }

    pub(crate) fn remove_lease(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        Some(lease)
    }

    /// Deletes the lease's keys in one revision, then the lease; answers the lease as it was.
    pub(crate) fn revoke_lease(&mut self, id: LeaseId, log: &mut Vec<u8>) -> Option<Lease> {
        let lease = self.leases.get(&id)?.clone();
        let revision = self.revision + 1;
        for key in &lease.keys {
            record::encode_delete(log, key);
            self.delete(key, revision);
        }
        if !lease.keys.is_empty() {
            Record::Commit { revision }.encode(log);
        }
        Record::Revoke { lease: id }.encode(log);
        self.remove_lease(id);
        Some(lease)
    }

    /// The lease that ends first.
    pub(crate) fn first_deadline(&self) -> Option<(Instant, LeaseId)> {
        self.deadlines.first().copied()
    }
}

fn size(item: &KeyValue) -> u64 {
    (item.key.len() + item.value.len()) as u64
}

/// A state that can be read without a lock.
#[derive(Debug)]
pub(crate) struct View {
    map: SortedMap<Arc<KeyValue>>,
    old: std::collections::BTreeMap<Bytes, Option<Arc<KeyValue>>>,
    pub(crate) revision: Revision,
}

impl View {
    /// How many keys of `range` there are now: a guess at the size of the answer.
    pub(crate) fn count(&self, range: &KeyRange) -> u64 {
        self.map.count(range) as u64
    }

    pub(crate) fn read(self, request: &RangeRequest) -> RangeResponse {
        let Self { map, old, revision } = self;
        let range = &request.range;
        let born = old.iter().filter(|(key, then)| then.is_some() && map.get(key).is_none()).count();
        let gone = old.iter().filter(|(key, then)| then.is_none() && map.get(key).is_some()).count();
        let total = (map.count(range) + born).saturating_sub(gone);
        let limit = if request.limit == 0 { total } else { request.limit.min(total) };
        let mut items = Vec::new();
        if !request.count_only {
            items.reserve_exact(limit);
            items.extend(overlay(map.range(range), old).take(limit).map(|(_, item)| KeyValue::clone(&item)));
        }
        RangeResponse { revision, items, count: total as u64, more: !request.count_only && limit < total }
    }
}
