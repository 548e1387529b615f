//! One suite for every engine: what a store must do; from an engine's tests; to assertions.
//!
//! Cases named `etcd_<issue>_…` are scenarios of bugs that etcd's robustness tests have found. Scenarios which need a crash
//! are in the engines' own tests. A case works below a prefix of its own, so that all can run on one store.
#![expect(clippy::unwrap_used, reason = "a suite for tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;

use crate::key::KeyRange;
use crate::store::{
    Event, LeaseId, RangeRequest, RangeResponse, Revision, Store, StoreError, Txn, TxnResponse, Watch, WatchItem,
};

mod cache;
mod compaction;
mod keys;
mod leases;
mod watches;

/// A case of the suite.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    run: fn(Subject) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Runs the case on `store`; panics when the store is wrong.
    pub async fn run(&self, store: Arc<dyn Store>) {
        (self.run)(Subject { store, prefix: format!("/{}/", self.name) }).await;
    }
}

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// All cases.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            run: |subject| Box::pin($module::$name(subject)),
        }),*];
    };
}

cases! {
    keys::a_new_key_has_its_revisions,
    keys::ranges_are_ordered_limited_and_counted,
    keys::the_past_can_be_read,
    keys::comparisons_decide,
    keys::a_transaction_is_one_revision,
    keys::impossible_requests_change_nothing,
    keys::deleting_nothing_is_no_revision,
    keys::concurrent_updates_lose_nothing,
    watches::a_watch_sees_its_range_in_order,
    watches::a_watch_starts_in_the_past,
    watches::a_revision_comes_whole,
    watches::etcd_15220_progress_is_never_ahead,
    watches::progress_comes_without_events,
    watches::etcd_17247_no_event_twice,
    watches::etcd_17529_a_slow_watch_loses_nothing,
    watches::etcd_20221_a_watch_starts_in_the_future,
    leases::a_lease_ends_its_keys,
    leases::revoking_deletes_in_one_revision,
    leases::keep_alive_and_detach,
    leases::unknown_leases_are_refused,
    compaction::old_revisions_are_refused,
    compaction::etcd_18089_a_delete_at_the_compaction_is_not_lost,
    compaction::etcd_19179_a_delete_below_a_compaction_is_told,
    compaction::etcd_18667_a_transaction_reads_no_compacted_revision,
    compaction::etcd_17780_revisions_never_go_back,
    cache::the_watch_cache_shows_the_store,
}

/// A store and the prefix that belongs to a case.
#[derive(Clone)]
struct Subject {
    store: Arc<dyn Store>,
    prefix: String,
}

impl Subject {
    fn key(&self, name: &str) -> Bytes {
        Bytes::from(format!("{}{name}", self.prefix))
    }

    fn all(&self) -> KeyRange {
        KeyRange::prefix(self.prefix.clone())
    }

    async fn put(&self, name: &str, value: &str) -> Revision {
        self.store.txn(Txn::put(self.key(name), value.to_owned())).await.unwrap().revision
    }

    async fn delete(&self, name: &str) -> Revision {
        let item = self.get(name).await.items.remove(0);
        self.txn(Txn::delete(item.key, item.mod_revision)).await.revision
    }

    async fn txn(&self, txn: Txn) -> TxnResponse {
        self.store.txn(txn).await.unwrap()
    }

    async fn get(&self, name: &str) -> RangeResponse {
        self.store.range(RangeRequest::single(self.key(name))).await.unwrap()
    }

    async fn list(&self, at: Option<Revision>) -> Vec<(String, String)> {
        let mut request = RangeRequest::new(self.all());
        request.at = at;
        let answer = self.store.range(request).await.unwrap();
        answer.items.iter().map(|item| (self.name(&item.key), text(&item.value))).collect()
    }

    async fn revision(&self) -> Revision {
        self.store.revision().await.unwrap()
    }

    async fn watch(&self, from: Revision) -> Watching {
        Watching { watch: self.store.watch(self.all(), from).await.unwrap(), prefix: self.prefix.clone() }
    }

    /// The error of a watch, given at once or as its first item.
    async fn watch_error(&self, from: Revision) -> StoreError {
        match self.store.watch(self.all(), from).await {
            Err(error) => error,
            Ok(watch) => Watching { watch, prefix: self.prefix.clone() }.next().await.unwrap_err(),
        }
    }

    fn name(&self, key: &[u8]) -> String {
        text(key).strip_prefix(&self.prefix).unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A watch being read.
struct Watching {
    watch: Watch,
    prefix: String,
}

impl Watching {
    async fn next(&mut self) -> Result<WatchItem, StoreError> {
        let item = tokio::time::timeout(Duration::from_secs(20), self.watch.items.next()).await;
        item.expect("an item of the watch in time").expect("the watch has not ended")
    }

    /// The next `count` events in short: `name=value@revision`, `name-@revision`. Progress is skipped.
    async fn events(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < count {
            if let WatchItem::Events(events) = self.next().await.unwrap() {
                seen.extend(events.iter().map(|event| self.short(event)));
            }
        }
        seen
    }

    fn short(&self, event: &Event) -> String {
        let key = text(event.key());
        let name = key.strip_prefix(&self.prefix).unwrap();
        match event {
            Event::Put(item) => format!("{name}={}@{}", text(&item.value), item.mod_revision),
            Event::Delete { revision, .. } => format!("{name}-@{revision}"),
        }
    }

    /// Waits for a progress item at or after `revision`; answers the events before it.
    async fn until_progress(&mut self, revision: Revision) -> Vec<String> {
        let mut seen = Vec::new();
        self.watch.progress.request();
        loop {
            let item = tokio::time::timeout(Duration::from_millis(200), self.watch.items.next()).await;
            match item {
                // a store may drop a request while events are on their way
                Err(_elapsed) => self.watch.progress.request(),
                Ok(item) => match item.unwrap().unwrap() {
                    WatchItem::Events(events) => seen.extend(events.iter().map(|event| self.short(event))),
                    WatchItem::Progress(at) if at >= revision => return seen,
                    WatchItem::Progress(_) => self.watch.progress.request(),
                },
            }
        }
    }
}

/// A lease of a subject's store.
async fn grant(subject: &Subject, seconds: u64) -> LeaseId {
    subject.store.lease_grant(Duration::from_secs(seconds)).await.unwrap()
}

#[cfg(test)]
mod tests;
