//! The engine as a `Store`, and its watches; from callers; to the shared core.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::time::Instant;

use super::commit::Shared;
use super::record::Record;
use super::{Embedded, log};
use crate::key::KeyRange;
use crate::store::{
    LeaseId, ProgressRequester, RangeRequest, RangeResponse, Revision, Status, Store, StoreError, StoreFuture, Txn,
    TxnResponse, Watch, WatchItem,
};

impl Store for Embedded {
    fn range(&self, request: RangeRequest) -> StoreFuture<'_, RangeResponse> {
        self.read(request).boxed()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnResponse> {
        self.write(txn).boxed()
    }

    fn watch(&self, range: KeyRange, from: Revision) -> StoreFuture<'_, Watch> {
        async move {
            let id = {
                let mut core = self.shared.core.lock();
                core.check_running()?;
                core.add_watch(range, from)?
            };
            let items = WatchItems { shared: Arc::clone(&self.shared), id, ended: false };
            let weak = Arc::downgrade(&self.shared);
            let progress = ProgressRequester::new(move || {
                let waker = weak.upgrade().and_then(|shared| shared.core.lock().want_progress(id));
                if let Some(waker) = waker {
                    waker.wake();
                }
            });
            Ok(Watch { items: items.boxed(), progress })
        }
        .boxed()
    }

    fn revision(&self) -> StoreFuture<'_, Revision> {
        async move {
            let core = self.shared.core.lock();
            core.check_running()?;
            // every acknowledged write is durable
            Ok(core.durable)
        }
        .boxed()
    }

    fn lease_grant(&self, ttl: Duration) -> StoreFuture<'_, LeaseId> {
        self.record(move |core| {
            let ttl = Duration::from_secs(ttl.as_secs().max(1));
            let mut lease = LeaseId(log::random() >> 1);
            while lease == LeaseId::NONE || core.state.leases.contains_key(&lease) {
                lease = LeaseId(log::random() >> 1);
            }
            let (state, log) = core.log();
            Record::Grant { lease, ttl_seconds: ttl.as_secs() }.encode(log);
            state.insert_lease(lease, ttl, Instant::now());
            core.next.lease_undo.push((lease, None));
            Ok(lease)
        })
        .boxed()
    }

    fn lease_keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, Duration> {
        async move {
            let (ttl, waiter) = {
                let mut core = self.shared.core.lock();
                core.check_running()?;
                let ttl = core.state.renew_lease(lease, Instant::now());
                (ttl.ok_or(StoreError::LeaseNotFound { lease })?, core.wait_for_state())
            };
            Self::durable(waiter).await?;
            Ok(ttl)
        }
        .boxed()
    }

    fn lease_revoke(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        self.record(move |core| {
            if !core.state.leases.contains_key(&lease) {
                return Err(StoreError::LeaseNotFound { lease });
            }
            let (state, log) = core.log();
            let old = state.revoke_lease(lease, log);
            core.next.lease_undo.push((lease, old));
            Ok(())
        })
        .boxed()
    }

    fn compact(&self, revision: Revision) -> StoreFuture<'_, ()> {
        async move {
            let waiter = {
                let mut core = self.shared.core.lock();
                core.check_running()?;
                let (current, compacted) = (core.state.revision, core.state.compacted);
                if revision > current {
                    return Err(StoreError::FutureRevision { requested: revision, current });
                }
                if revision <= compacted {
                    return Err(StoreError::Compacted { compacted });
                }
                core.wait_for_state()
            };
            Self::durable(waiter).await?;
            self.record(move |core| {
                let (state, log) = core.log();
                state.compact(revision);
                Record::Compact { revision }.encode(log);
                Ok(())
            })
            .await
        }
        .boxed()
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        async move { self.shared.core.lock().check_running() }.boxed()
    }

    fn status(&self) -> StoreFuture<'_, Status> {
        async move {
            let core = self.shared.core.lock();
            Ok(Status {
                revision: core.durable,
                compacted: core.state.oldest_readable(),
                disk_bytes: core.disk_bytes(),
                live_bytes: core.state.live_bytes,
                keys: core.state.map.len() as u64,
            })
        }
        .boxed()
    }
}

/// The items of a watch; they are taken from the shared history when asked for, so a slow watch costs nothing.
struct WatchItems {
    shared: Arc<Shared>,
    id: u64,
    ended: bool,
}

impl Stream for WatchItems {
    type Item = Result<WatchItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = self.shared.core.lock().poll_watch(self.id, context.waker());
        match item {
            None => Poll::Pending,
            Some(item) => {
                self.ended = item.is_err();
                Poll::Ready(Some(item))
            }
        }
    }
}

impl Drop for WatchItems {
    fn drop(&mut self) {
        let slot = self.shared.core.lock().watches.remove(&self.id);
        drop(slot);
    }
}
