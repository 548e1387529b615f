//! Leases shared by many keys; from writers of short-lived objects (events); to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::{LeaseId, Store, StoreError};

/// How long one lease takes new keys. A key may therefore live that much longer than asked for.
const REUSE: Duration = Duration::from_secs(60);
/// How many keys share one lease at most: ending a lease deletes its keys in one transaction.
const MAX_KEYS: u32 = 1000;

/// Gives leases of one time to live, few for many keys.
#[derive(Debug)]
pub struct LeasePool {
    store: Arc<dyn Store>,
    ttl: Duration,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    lease: LeaseId,
    until: Instant,
    keys: u32,
}

impl LeasePool {
    /// Leases of at least `ttl` in `store`.
    pub fn new(store: Arc<dyn Store>, ttl: Duration) -> Self {
        Self { store, ttl, current: Mutex::new(None) }
    }

    /// A lease for one more key: the key lives at least the pool's time to live, at most a minute more.
    ///
    /// # Errors
    /// Those of [`Store::lease_grant`].
    pub async fn lease(&self) -> Result<LeaseId, StoreError> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        if let Some(open) = current.as_mut()
            && now < open.until
            && open.keys < MAX_KEYS
        {
            open.keys += 1;
            return Ok(open.lease);
        }
        let lease = self.store.lease_grant(self.ttl + REUSE).await?;
        *current = Some(Current { lease, until: now + REUSE, keys: 1 });
        Ok(lease)
    }
}

#[cfg(test)]
mod tests;
