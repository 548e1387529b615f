//! What all users of the engine share: state, the batch that waits for the log, and the watches; behind one lock.
//!
//! A transaction changes the state at once and its log records join the next batch; its answer waits until the committer
//! has made the batch durable. Reads wait in the same way for what they saw, and watches see only what is durable, so
//! nobody learns of something that a crash could take back.

use std::collections::BTreeMap;
use std::task::Waker;

use tokio::sync::oneshot;

use super::frame::HEADER_BYTES;
use super::state::{Lease, State};
use crate::key::KeyRange;
use crate::store::{Event, KeyValue, LeaseId, Revision, StoreError, WatchItem};

/// A watch looks at so many changes at a time at most (and always at whole revisions).
const WATCH_STEP: usize = 512;

type Waiter = oneshot::Sender<Result<(), StoreError>>;

/// Log records on their way to the disk, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Room for a frame's header, then the records; empty when there are none.
    pub(crate) bytes: Vec<u8>,
    pub(crate) waiters: Vec<Waiter>,
    /// The store's revision after the batch.
    pub(crate) revision: Revision,
    /// Leases as they were before the batch changed them.
    pub(crate) lease_undo: Vec<(LeaseId, Option<Lease>)>,
}

/// A watch as the committer sees it.
#[derive(Debug)]
pub(crate) struct WatchSlot {
    range: KeyRange,
    /// The first revision not delivered yet.
    next: Revision,
    /// Whether there may be something to deliver.
    dirty: bool,
    progress_wanted: bool,
    waker: Option<Waker>,
}

/// The shared part of the engine.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: State,
    /// Everything up to here is on disk.
    pub(crate) durable: Revision,
    /// What waits for the committer.
    pub(crate) next: Batch,
    /// What the committer is writing.
    pub(crate) flying: Option<Batch>,
    /// How often undurable changes were taken back.
    pub(crate) rollbacks: u64,
    pub(crate) watches: BTreeMap<u64, WatchSlot>,
    pub(crate) next_watch: u64,
    /// Why the engine stopped.
    pub(crate) failed: Option<StoreError>,
    pub(crate) stop: bool,
    pub(crate) snapshot_running: bool,
    pub(crate) snapshot_bytes: u64,
    /// Bytes of segments before the one being written.
    pub(crate) sealed_bytes: u64,
    pub(crate) log_bytes: u64,
}

impl Core {
    pub(crate) fn new(state: State) -> Self {
        Self {
            durable: state.revision,
            state,
            next: Batch::default(),
            flying: None,
            rollbacks: 0,
            watches: BTreeMap::new(),
            next_watch: 0,
            failed: None,
            stop: false,
            snapshot_running: false,
            snapshot_bytes: 0,
            sealed_bytes: 0,
            log_bytes: 0,
        }
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.snapshot_bytes + self.sealed_bytes + self.log_bytes
    }

    pub(crate) fn check_running(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.stop => Err(StoreError::Unavailable { reason: "the store is closed".to_owned() }),
            None => Ok(()),
        }
    }

    /// Where log records are appended; the caller then calls [`Self::logged`].
    pub(crate) fn log(&mut self) -> (&mut State, &mut Vec<u8>) {
        if self.next.bytes.is_empty() {
            self.next.bytes.resize(HEADER_BYTES, 0);
        }
        (&mut self.state, &mut self.next.bytes)
    }

    /// Notes the state's revision as the batch's; answers whether the batch has records.
    pub(crate) fn logged(&mut self) -> bool {
        if self.next.bytes.len() <= HEADER_BYTES {
            self.next.bytes.clear();
            return false;
        }
        self.next.revision = self.state.revision;
        true
    }

    /// Waits for the batch that is being filled now.
    pub(crate) fn wait_for_next(&mut self) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.next.waiters.push(sender);
        receiver
    }

    /// Waits until all that the state shows now is durable; `None` when it is.
    pub(crate) fn wait_for_state(&mut self) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        if self.state.revision <= self.durable {
            return None;
        }
        let revision = self.state.revision;
        if let Some(flying) = self.flying.as_mut().filter(|flying| flying.revision >= revision) {
            let (sender, receiver) = oneshot::channel();
            flying.waiters.push(sender);
            return Some(receiver);
        }
        Some(self.wait_for_next())
    }

    /// Takes back all that is not durable.
    pub(crate) fn roll_back(&mut self) -> Vec<Waiter> {
        let mut flying = self.flying.take().unwrap_or_default();
        let next = std::mem::take(&mut self.next);
        flying.lease_undo.extend(next.lease_undo);
        self.state.roll_back(self.durable, flying.lease_undo);
        self.rollbacks += 1;
        flying.waiters.extend(next.waiters);
        flying.waiters
    }

    /// Makes everything up to `revision` visible to the watches it touches; answers whom to wake.
    pub(crate) fn publish(&mut self, revision: Revision) -> Vec<Waker> {
        let mut wake = Vec::new();
        for change in self.state.history.after(self.durable) {
            if change.revision > revision {
                break;
            }
            for slot in self.watches.values_mut() {
                if !slot.dirty && change.revision >= slot.next && slot.range.contains(&change.key) {
                    slot.dirty = true;
                    wake.extend(slot.waker.take());
                }
            }
        }
        self.durable = revision;
        for slot in self.watches.values_mut().filter(|slot| !slot.dirty) {
            slot.next = slot.next.max(revision + 1);
        }
        wake
    }

    /// Wakes every watch: the engine has stopped.
    pub(crate) fn wake_all(&mut self) -> Vec<Waker> {
        self.watches.values_mut().filter_map(|slot| slot.waker.take()).collect()
    }

    pub(crate) fn add_watch(&mut self, range: KeyRange, from: Revision) -> Result<u64, StoreError> {
        let next = if from == 0 { self.durable + 1 } else { from };
        if next < self.state.oldest_watchable() {
            return Err(StoreError::Compacted { compacted: self.state.oldest_watchable() });
        }
        let id = self.next_watch;
        self.next_watch += 1;
        let dirty = next <= self.durable;
        self.watches.insert(id, WatchSlot { range, next, dirty, progress_wanted: false, waker: None });
        Ok(id)
    }

    pub(crate) fn want_progress(&mut self, id: u64) -> Option<Waker> {
        let slot = self.watches.get_mut(&id)?;
        slot.progress_wanted = true;
        slot.waker.take()
    }

    /// The next item of a watch. `None`: nothing now; `waker` will be called.
    pub(crate) fn poll_watch(&mut self, id: u64, waker: &Waker) -> Option<Result<WatchItem, StoreError>> {
        let running = self.check_running();
        let durable = self.durable;
        let oldest = self.state.oldest_watchable();
        let slot = self.watches.get_mut(&id)?;
        if slot.dirty {
            if slot.next < oldest {
                return Some(Err(StoreError::Compacted { compacted: oldest }));
            }
            let mut events = Vec::new();
            let mut last = slot.next - 1;
            slot.dirty = false;
            for (seen, change) in self.state.history.after(slot.next - 1).enumerate() {
                if change.revision > durable {
                    break;
                }
                if seen >= WATCH_STEP && change.revision != last {
                    slot.dirty = true;
                    break;
                }
                last = change.revision;
                if slot.range.contains(&change.key) {
                    events.push(match &change.current {
                        Some(item) => Event::Put(KeyValue::clone(item)),
                        None => Event::Delete { key: change.key.clone(), revision: change.revision },
                    });
                }
            }
            slot.next = if slot.dirty { last + 1 } else { slot.next.max(durable + 1) };
            if !events.is_empty() {
                return Some(Ok(WatchItem::Events(events)));
            }
            if slot.dirty {
                // nothing for this watch among so many changes: go on, but let others have the lock first
                waker.wake_by_ref();
                return None;
            }
        }
        if let Err(error) = running {
            return Some(Err(error));
        }
        if slot.progress_wanted && slot.next == durable + 1 {
            slot.progress_wanted = false;
            return Some(Ok(WatchItem::Progress(durable)));
        }
        // a watch from a future revision has no progress to tell before that
        slot.waker = Some(waker.clone());
        None
    }
}
