use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};

use super::faulty_disk::FaultyDisk;
use super::*;
use crate::key::KeyRange;
use crate::store::{Event, LeaseId, Store as _, WatchItem};

mod crash;
mod damage;
mod model;
mod power_cut;

const HOME: &str = "/store";

fn open_on(disk: &FaultyDisk, options: Options) -> Result<Arc<Embedded>, StoreError> {
    Embedded::open_on(Arc::new(disk.clone()), Path::new(HOME), options)
}

/// Everything in the store.
async fn content(store: &Embedded) -> BTreeMap<Bytes, Bytes> {
    let all = store.range(RangeRequest::new(KeyRange::all())).await.unwrap();
    all.items.into_iter().map(|item| (item.key, item.value)).collect()
}

/// All events from `from` to the newest revision.
async fn events(store: &Embedded, from: Revision) -> Result<Vec<Event>, StoreError> {
    let newest = store.revision().await?;
    let mut watch = store.watch(KeyRange::all(), from).await?;
    watch.progress.request();
    let mut events = Vec::new();
    while let Some(item) = watch.items.next().await {
        match item? {
            WatchItem::Events(new) => events.extend(new),
            WatchItem::Progress(revision) if revision >= newest => break,
            WatchItem::Progress(_) => watch.progress.request(),
        }
    }
    Ok(events)
}

#[tokio::test]
async fn a_directory_serves_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    assert!(matches!(Embedded::open(directory.path(), Options::default()), Err(StoreError::Locked { .. })));
    assert!(matches!(Embedded::verify(directory.path()), Err(StoreError::Locked { .. })));
    drop(store);
    Embedded::open(directory.path(), Options::default()).unwrap();
}

#[tokio::test]
async fn content_leases_and_history_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Embedded::open(directory.path(), Options::default()).unwrap();
    let store = open();
    let lease = store.lease_grant(Duration::from_secs(600)).await.unwrap();
    store.txn(Txn::create("/a", "1", lease)).await.unwrap();
    store.txn(Txn::put("/b", "1")).await.unwrap();
    store.txn(Txn::put("/b", "2")).await.unwrap();
    store.txn(Txn::delete("/b", 4)).await.unwrap();
    store.compact(3).await.unwrap();
    let (before, old) = (content(&store).await, events(&store, 3).await.unwrap());
    drop(store);
    let store = open();
    assert_eq!((content(&store).await, store.revision().await.unwrap()), (before, 5));
    assert_eq!(events(&store, 3).await.unwrap(), old);
    assert!(matches!(events(&store, 2).await, Err(StoreError::Compacted { compacted: 3 })));
    assert_eq!(store.lease_keep_alive(lease).await.unwrap(), Duration::from_secs(600));
    store.lease_revoke(lease).await.unwrap();
    assert!(content(&store).await.is_empty());
}

#[tokio::test]
async fn a_snapshot_file_makes_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(&directory.path().join("old"), Options::default()).unwrap();
    for number in 0..500 {
        store.txn(Txn::put(format!("/{:03}", number % 100), vec![b'x'; number])).await.unwrap();
    }
    let file = directory.path().join("backup");
    let written = store.snapshot(&file).await.unwrap();
    assert_eq!((written.revision, written.keys), (501, 100));
    let new = directory.path().join("new");
    let report = Embedded::restore(&file, &new).unwrap();
    assert_eq!((report.revision, report.keys), (501, 100));
    assert_eq!(Embedded::verify(&new).unwrap(), report);
    assert!(matches!(Embedded::restore(&file, &new), Err(StoreError::Invalid { .. })));
    let restored = Embedded::open(&new, Options::default()).unwrap();
    assert_eq!(content(&restored).await, content(&store).await);
    assert_eq!(restored.txn(Txn::put("/a", "x")).await.unwrap().revision, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_holds_at_most_about_twice_the_live_data() {
    let disk = FaultyDisk::new(1);
    let options = Options { min_log_bytes: 16 << 10, history_bytes: 64 << 10, ..Options::default() };
    let store = open_on(&disk, options).unwrap();
    let value = vec![b'x'; 1000];
    for round in 0..60 {
        let puts = (0..100).map(|key| store.txn(Txn::put(format!("/{key:03}"), value.clone())));
        futures::future::join_all(puts).await.into_iter().for_each(|answer| drop(answer.unwrap()));
        let mut core = store.shared.core.lock();
        while core.snapshot_running {
            store.shared.snapshot_done.wait(&mut core);
        }
        // 100 KB live; a log that got too large while the last snapshot was written goes with the next round
        let bytes: usize = disk.files().iter().map(|(_, size)| size).sum();
        assert!(bytes < 450_000, "{bytes} bytes after round {round}: {:?}", disk.files());
        assert!(core.state.history.weight() <= 64 << 10);
    }
    let status = store.status().await.unwrap();
    assert_eq!((status.keys, status.live_bytes), (100, 100 * 1004));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_recovers() {
    let disk = FaultyDisk::new(2);
    let store = open_on(&disk, Options::default()).unwrap();
    let lease = store.lease_grant(Duration::from_secs(600)).await.unwrap();
    store.txn(Txn::create("/a", "1", lease)).await.unwrap();
    let mut watch = store.watch(KeyRange::all(), 0).await.unwrap();
    disk.set_room(Some(10));
    assert!(matches!(store.txn(Txn::put("/a", "2")).await, Err(StoreError::Full { .. })));
    assert!(matches!(store.txn(Txn::put("/b", "2")).await, Err(StoreError::Full { .. })));
    assert!(matches!(store.lease_revoke(lease).await, Err(StoreError::Full { .. })));
    assert!(matches!(store.lease_grant(Duration::from_secs(600)).await, Err(StoreError::Full { .. })));
    assert_eq!(content(&store).await, BTreeMap::from([("/a".into(), "1".into())]));
    assert_eq!(store.revision().await.unwrap(), 2);
    disk.set_room(None);
    assert_eq!(store.txn(Txn::put("/b", "3")).await.unwrap().revision, 3);
    store.lease_revoke(lease).await.unwrap();
    let Some(Ok(WatchItem::Events(first))) = watch.items.next().await else { panic!("no event") };
    assert_eq!(first[0].revision(), 3, "what was taken back is not told");
    let before = content(&store).await;
    drop(store);
    assert_eq!(content(&open_on(&disk, Options::default()).unwrap()).await, before);
}

#[tokio::test]
async fn a_quota_refuses_puts_but_not_deletes() {
    let disk = FaultyDisk::new(3);
    let store = open_on(&disk, Options { quota_bytes: 100, ..Options::default() }).unwrap();
    store.txn(Txn::put("/a", vec![0; 90])).await.unwrap();
    assert!(matches!(store.txn(Txn::put("/b", vec![0; 90])).await, Err(StoreError::Full { .. })));
    store.txn(Txn::delete("/a", 2)).await.unwrap();
    store.txn(Txn::put("/b", vec![0; 90])).await.unwrap();
}

#[tokio::test]
async fn history_is_bounded_by_bytes() {
    let disk = FaultyDisk::new(4);
    let store = open_on(&disk, Options { history_bytes: 20_000, ..Options::default() }).unwrap();
    let mut idle = store.watch(KeyRange::prefix("/other"), 0).await.unwrap();
    for _ in 0..100 {
        store.txn(Txn::put("/a", vec![0; 1000])).await.unwrap();
    }
    assert!(matches!(events(&store, 2).await, Err(StoreError::Compacted { .. })));
    assert!(store.status().await.unwrap().compacted > 80);
    // a watch that has missed nothing is not hurt
    let revision = store.txn(Txn::put("/other", "x")).await.unwrap().revision;
    let Some(Ok(WatchItem::Events(seen))) = idle.items.next().await else { panic!("no event") };
    assert_eq!(seen[0].revision(), revision);
}
