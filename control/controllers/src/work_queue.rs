//! Keys waiting for work: each at most once, with delays and a rate limit per key. From handlers; to workers.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First pause after a failure; doubled by each further one.
const FIRST_RETRY: Duration = Duration::from_millis(5);
/// Longest pause after failures.
const LAST_RETRY: Duration = Duration::from_secs(1000);

/// A queue that holds a key once however often it is added, and gives it to one worker at a time.
pub struct WorkQueue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
}

struct State<T> {
    ready: VecDeque<T>,
    /// Keys that need work: those in `ready` and those added again while a worker has them.
    dirty: HashSet<T>,
    working: HashSet<T>,
    delayed: HashMap<T, Instant>,
    failures: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash + Send + 'static> WorkQueue<T> {
    /// An empty queue.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                dirty: HashSet::new(),
                working: HashSet::new(),
                delayed: HashMap::new(),
                failures: HashMap::new(),
            }),
            wake: Notify::new(),
        })
    }

    /// Asks for work on `key` now.
    pub fn add(&self, key: T) {
        {
            let mut state = self.state.lock();
            if !state.dirty.insert(key.clone()) || state.working.contains(&key) {
                return;
            }
            state.ready.push_back(key);
        }
        self.wake.notify_one();
    }

    /// Asks for work on `key` after a pause; of several pauses for a key the earliest end counts.
    pub fn add_after(self: &Arc<Self>, key: T, pause: Duration) {
        if pause.is_zero() {
            self.add(key);
            return;
        }
        let due = Instant::now() + pause;
        {
            let mut state = self.state.lock();
            if state.delayed.get(&key).is_some_and(|earlier| *earlier <= due) {
                return;
            }
            state.delayed.insert(key.clone(), due);
        }
        let queue = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            let Some(queue) = queue.upgrade() else { return };
            let current = {
                let mut state = queue.state.lock();
                let current = state.delayed.get(&key) == Some(&due);
                if current {
                    state.delayed.remove(&key);
                }
                current
            };
            if current {
                queue.add(key);
            }
        });
    }

    /// Asks for work on `key` after a pause that doubles with each failure since [`WorkQueue::forget`].
    pub fn add_rate_limited(self: &Arc<Self>, key: T) {
        let failures = {
            let mut state = self.state.lock();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            *failures = failures.saturating_add(1);
            *failures
        };
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.add_after(key, FIRST_RETRY.saturating_mul(factor).min(LAST_RETRY));
    }

    /// How often work on `key` failed since it last succeeded.
    pub fn failures(&self, key: &T) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Ends the count of failures of `key`.
    pub fn forget(&self, key: &T) {
        self.state.lock().failures.remove(key);
    }

    /// The next key; the caller must say [`WorkQueue::done`]. `None` after `stop`.
    pub async fn next(&self, stop: &CancellationToken) -> Option<T> {
        loop {
            let notified = self.wake.notified();
            if let Some(key) = self.take() {
                return Some(key);
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = notified => {}
            }
        }
    }

    fn take(&self) -> Option<T> {
        let (key, more) = {
            let mut state = self.state.lock();
            let key = state.ready.pop_front()?;
            state.dirty.remove(&key);
            state.working.insert(key.clone());
            (key, !state.ready.is_empty())
        };
        if more {
            self.wake.notify_one();
        }
        Some(key)
    }

    /// Ends the work on `key`; if it was added meanwhile it is ready again.
    pub fn done(&self, key: &T) {
        {
            let mut state = self.state.lock();
            state.working.remove(key);
            if !state.dirty.contains(key) {
                return;
            }
            state.ready.push_back(key.clone());
        }
        self.wake.notify_one();
    }
}

impl<T> std::fmt::Debug for WorkQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkQueue({} ready)", self.state.lock().ready.len())
    }
}

#[cfg(test)]
mod tests;
