//! Growing delays for things that fail again and again; from [`pod_worker`](crate::pod_worker) and [`images`](crate::images);
//! to the same. Pure (time is passed in).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Delays by key: the first is `initial`, each further one doubles up to `limit`; a key that stayed quiet for twice the
/// limit starts anew.
#[derive(Debug)]
pub struct Backoff<K> {
    initial: Duration,
    limit: Duration,
    entries: HashMap<K, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    delay: Duration,
    since: Instant,
}

impl<K: Hash + Eq> Backoff<K> {
    /// A table without entries.
    pub fn new(initial: Duration, limit: Duration) -> Self {
        Self { initial, limit, entries: HashMap::new() }
    }

    /// Counts a failure at `now`: returns the delay that holds from then on.
    pub fn grow(&mut self, key: K, now: Instant) -> Duration {
        let (initial, limit) = (self.initial, self.limit);
        let entry = self
            .entries
            .entry(key)
            .and_modify(|entry| {
                let quiet = now.saturating_duration_since(entry.since) > limit * 2;
                entry.delay = if quiet { initial } else { (entry.delay * 2).min(limit) };
                entry.since = now;
            })
            .or_insert(Entry { delay: initial, since: now });
        entry.delay
    }

    /// The delay of the key and how much of it is left at `now`, counted from `event` (when the thing last failed).
    /// `None` when nothing has to be waited for.
    pub fn remaining(&self, key: &K, event: Instant, now: Instant) -> Option<(Duration, Duration)> {
        let entry = self.entries.get(key)?;
        if event.saturating_duration_since(entry.since) > self.limit * 2 {
            return None;
        }
        let left = entry.delay.checked_sub(now.saturating_duration_since(event)).filter(|left| !left.is_zero())?;
        Some((entry.delay, left))
    }

    /// Like [`remaining`](Self::remaining), counted from the last [`grow`](Self::grow).
    pub fn remaining_since_growth(&self, key: &K, now: Instant) -> Option<(Duration, Duration)> {
        self.remaining(key, self.entries.get(key)?.since, now)
    }

    /// Forgets the key.
    pub fn reset(&mut self, key: &K) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn doubles_to_the_limit_and_starts_anew_after_quiet() {
        let mut backoff = Backoff::new(10 * SECOND, 300 * SECOND);
        let start = Instant::now();
        let delays: Vec<u64> = (0..7).map(|i| backoff.grow("a", start + i * SECOND).as_secs()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.grow("a", start + 10_000 * SECOND), 10 * SECOND);
    }

    #[test]
    fn remaining_counts_from_the_event() {
        let mut backoff = Backoff::new(10 * SECOND, 300 * SECOND);
        let start = Instant::now();
        assert_eq!(backoff.remaining(&"a", start, start), None);
        backoff.grow("a", start);
        assert_eq!(backoff.remaining(&"a", start, start + 4 * SECOND), Some((10 * SECOND, 6 * SECOND)));
        assert_eq!(backoff.remaining(&"a", start, start + 10 * SECOND), None);
    }
}
