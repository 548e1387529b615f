//! Forgets old history on a schedule; one task of the server; on any store.
//!
//! Servers on one etcd share the work: a key tells until when and up to which revision somebody has compacted, as the
//! API servers of Kubernetes do it, so that both may run on one etcd.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::store::{LeaseId, RangeRequest, Revision, Store, StoreError, Txn};

/// The key that Kubernetes' API servers use for this.
const KEY: &str = "compact_rev_key";

/// How far somebody has compacted: version of [`KEY`] and the revision seen then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    version: u64,
    revision: Revision,
}

/// Compacts to what was the newest revision `every` ago, for ever. `every` is the least time that history is kept.
pub async fn run(store: Arc<dyn Store>, every: Duration) {
    let mut turn = Turn::default();
    loop {
        sleep(every).await;
        match compact(store.as_ref(), turn).await {
            Ok(next) => turn = next,
            Err(error) => warn!(%error, "compact the store, will retry"),
        }
    }
}

/// One round: when nobody took the turn since the last round, takes it and compacts to the revision seen then.
async fn compact(store: &dyn Store, last: Turn) -> Result<Turn, StoreError> {
    let newest = store.revision().await?;
    let now = store.range(RangeRequest::single(KEY)).await?;
    let (version, mod_revision) = now.items.first().map_or((0, 0), |item| (item.version, item.mod_revision));
    if version != last.version {
        return Ok(Turn { version, revision: newest });
    }
    let text = Bytes::from(last.revision.to_string());
    let taken = store.txn(Txn::update(KEY, mod_revision, text, LeaseId::NONE)).await?;
    if !taken.succeeded {
        let version = taken.current().map_or(0, |item| item.version);
        return Ok(Turn { version, revision: taken.revision });
    }
    let next = Turn { version: version + 1, revision: taken.revision };
    if last.revision == 0 {
        return Ok(next);
    }
    match store.compact(last.revision).await {
        Ok(()) => debug!(revision = last.revision, "store compacted"),
        Err(StoreError::Compacted { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(next)
}

#[cfg(test)]
mod tests;
