//! Cases about watches.

use super::*;
use crate::store::Op;

pub(super) async fn a_watch_sees_its_range_in_order(s: Subject) {
    let mut watch = s.watch(0).await;
    let other = Subject { prefix: format!("/other{}", s.prefix), store: Arc::clone(&s.store) };
    let one = s.put("a", "1").await;
    other.put("a", "not watched").await;
    let two = s.put("b", "1").await;
    let three = s.delete("a").await;
    assert_eq!(watch.events(3).await, [format!("a=1@{one}"), format!("b=1@{two}"), format!("a-@{three}")]);
}

pub(super) async fn a_watch_starts_in_the_past(s: Subject) {
    let one = s.put("a", "1").await;
    let two = s.put("a", "2").await;
    let three = s.put("b", "1").await;
    let all = [format!("a=1@{one}"), format!("a=2@{two}"), format!("b=1@{three}")];
    assert_eq!(s.watch(one).await.events(3).await, all);
    assert_eq!(s.watch(two).await.events(2).await, all[1..]);
    let mut new = s.watch(0).await;
    let four = s.put("c", "1").await;
    assert_eq!(new.events(1).await, [format!("c=1@{four}")]);
    let single = s.store.watch(KeyRange::single(s.key("a")), one).await.unwrap();
    let mut single = Watching { watch: single, prefix: s.prefix.clone() };
    assert_eq!(single.events(2).await, all[..2]);
}

pub(super) async fn a_revision_comes_whole(s: Subject) {
    let mut watch = s.watch(0).await;
    let put = |number: usize| Op::Put { key: s.key(&number.to_string()), value: "x".into(), lease: LeaseId::NONE };
    let mut last = 0;
    for _ in 0..20 {
        last = s.txn(Txn { success: (0..50).map(put).collect(), ..Txn::default() }).await.revision;
    }
    let mut newest = 0;
    while newest < last {
        let WatchItem::Events(events) = watch.next().await.unwrap() else { continue };
        for revision in events.chunk_by(|a, b| a.revision() == b.revision()) {
            assert_eq!(revision.len(), 50, "a revision was split over two items");
            assert!(revision[0].revision() > newest);
            newest = revision[0].revision();
        }
    }
}

/// Writes keys 0, 1, … until told to stop; answers the revisions.
fn write(s: &Subject, count: usize) -> tokio::task::JoinHandle<Vec<Revision>> {
    let s = s.clone();
    tokio::spawn(async move {
        let mut revisions = Vec::new();
        for number in 0..count {
            revisions.push(s.put(&(number % 7).to_string(), &number.to_string()).await);
        }
        revisions
    })
}

pub(super) async fn etcd_15220_progress_is_never_ahead(s: Subject) {
    let mut watch = s.watch(0).await;
    let writer = write(&s, 100);
    let mut told = 0;
    let mut events = 0;
    while events < 100 {
        watch.watch.progress.request();
        match watch.next().await.unwrap() {
            WatchItem::Progress(revision) => {
                assert!(revision >= told, "progress went back");
                told = revision;
            }
            WatchItem::Events(new) => {
                assert!(new[0].revision() > told, "event of {} after progress to {told}", new[0].revision());
                told = new.last().unwrap().revision();
                events += new.len();
            }
        }
    }
    writer.await.unwrap();
}

pub(super) async fn progress_comes_without_events(s: Subject) {
    s.put("a", "1").await;
    s.put("b", "1").await;
    s.delete("b").await;
    let mut watch = s.watch(0).await;
    let other = Subject { prefix: format!("/other{}", s.prefix), store: Arc::clone(&s.store) };
    for number in 0..3 {
        let revision = other.put(&number.to_string(), "x").await;
        assert_eq!(watch.until_progress(revision).await, [""; 0]);
    }
    let a = s.put("a", "2").await;
    let revision = other.put("a", "x").await;
    assert_eq!(watch.until_progress(revision).await, [format!("a=2@{a}")]);
}

pub(super) async fn etcd_17247_no_event_twice(s: Subject) {
    let first = s.revision().await + 1;
    let writer = write(&s, 60);
    let watches: Vec<_> = futures::future::join_all((0..8).map(|_| s.watch(first))).await;
    let revisions = writer.await.unwrap();
    let want: Vec<String> =
        revisions.iter().enumerate().map(|(number, revision)| format!("{}={number}@{revision}", number % 7)).collect();
    for mut watch in watches {
        assert_eq!(watch.events(60).await, want);
        let newest = s.revision().await;
        assert_eq!(watch.until_progress(newest).await, [""; 0], "an event came twice");
    }
}

pub(super) async fn etcd_17529_a_slow_watch_loses_nothing(s: Subject) {
    let mut watch = s.watch(0).await;
    let value = "x".repeat(20_000);
    let mut last = 0;
    // more than every buffer between store and reader takes
    for round in 0..20 {
        let puts = (0..40).map(|number| {
            let (s, value) = (s.clone(), value.clone());
            async move { s.put(&format!("{round}/{number}"), &value).await }
        });
        last = futures::future::join_all(puts).await.into_iter().max().unwrap();
    }
    let mut seen = 0;
    let mut newest = 0;
    while newest < last {
        if let WatchItem::Events(events) = watch.next().await.unwrap() {
            for event in events {
                assert!(event.revision() > newest);
                newest = event.revision();
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 800);
}

pub(super) async fn etcd_20221_a_watch_starts_in_the_future(s: Subject) {
    let now = s.revision().await;
    let mut watch = s.watch(now + 3).await;
    s.put("a", "1").await;
    s.put("a", "2").await;
    let third = s.put("a", "3").await;
    let fourth = s.put("a", "4").await;
    assert_eq!(third, now + 3);
    assert_eq!(watch.events(2).await, [format!("a=3@{third}"), format!("a=4@{fourth}")]);
}
