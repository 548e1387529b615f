//! Cases about compaction.

use super::*;
use crate::store::Op;

pub(super) async fn old_revisions_are_refused(s: Subject) {
    let one = s.put("a", "1").await;
    let two = s.put("a", "2").await;
    let three = s.put("a", "3").await;
    s.store.compact(two).await.unwrap();
    let error = s.store.range(RangeRequest::new(s.all()).at(one)).await.unwrap_err();
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
    assert_eq!(s.list(Some(two)).await, [("a".to_owned(), "2".to_owned())]);
    assert_eq!(s.list(Some(three)).await, [("a".to_owned(), "3".to_owned())]);
    assert!(matches!(s.watch_error(one).await, StoreError::Compacted { compacted } if compacted == two));
    assert_eq!(s.watch(three).await.events(1).await, [format!("a=3@{three}")]);
    assert!(matches!(s.store.compact(two).await, Err(StoreError::Compacted { .. })));
    let future = s.revision().await + 100;
    assert!(matches!(s.store.compact(future).await, Err(StoreError::FutureRevision { .. })));
    assert_eq!(s.revision().await, three, "compaction is no revision");
}

pub(super) async fn etcd_18089_a_delete_at_the_compaction_is_not_lost(s: Subject) {
    s.put("a", "1").await;
    let deleted = s.delete("a").await;
    let after = s.put("b", "1").await;
    s.store.compact(deleted).await.unwrap();
    told_or_seen(&mut s.watch(deleted).await, &[format!("a-@{deleted}"), format!("b=1@{after}")]).await;
}

/// Either all of `want` comes, or the watch ends with `Compacted` after a part of it: nothing is lost in silence.
async fn told_or_seen(watch: &mut Watching, want: &[String]) {
    let mut seen = Vec::new();
    while seen.len() < want.len() {
        match watch.next().await {
            Ok(WatchItem::Events(events)) => seen.extend(events.iter().map(|event| watch.short(event))),
            Ok(WatchItem::Progress(_)) => {}
            Err(error) => {
                assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
                return;
            }
        }
        assert_eq!(seen, want[..seen.len()]);
    }
}

pub(super) async fn etcd_19179_a_delete_below_a_compaction_is_told(s: Subject) {
    let created = s.put("a", "1").await;
    let mut running = s.watch(created).await;
    let deleted = s.delete("a").await;
    let last = s.put("b", "1").await;
    s.store.compact(last).await.unwrap();
    let want = [format!("a=1@{created}"), format!("a-@{deleted}"), format!("b=1@{last}")];
    // a watch that has not taken its events before the compaction may lose them
    told_or_seen(&mut running, &want).await;
    assert!(matches!(s.watch_error(deleted).await, StoreError::Compacted { .. }));
}

pub(super) async fn etcd_18667_a_transaction_reads_no_compacted_revision(s: Subject) {
    let one = s.put("a", "1").await;
    let two = s.put("a", "2").await;
    s.store.compact(two).await.unwrap();
    let put = Op::Put { key: s.key("b"), value: "x".into(), lease: LeaseId::NONE };
    let read = Op::Range(RangeRequest::new(s.all()).at(one));
    let error = s.store.txn(Txn { success: vec![put, read], ..Txn::default() }).await.unwrap_err();
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
    assert_eq!(s.list(None).await, [("a".to_owned(), "2".to_owned())], "nothing of it was done");
    assert_eq!(s.revision().await, two);
}

pub(super) async fn etcd_17780_revisions_never_go_back(s: Subject) {
    let mut last = s.revision().await;
    for round in 0..10 {
        let name = (round % 3).to_string();
        s.put(&name, "x").await;
        let now = s.delete(&name).await;
        assert_eq!(now, last + 2);
        last = now;
        s.store.compact(now).await.unwrap();
        assert_eq!(s.revision().await, last);
    }
}
