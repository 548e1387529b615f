//! Cases about reading and writing keys.

use super::*;
use crate::store::{Compare, Op, OpResponse};

pub(super) async fn a_new_key_has_its_revisions(s: Subject) {
    let before = s.revision().await;
    let first = s.put("a", "1").await;
    assert_eq!(first, before + 1);
    let second = s.put("a", "2").await;
    let item = s.get("a").await.items.remove(0);
    assert_eq!((item.create_revision, item.mod_revision, item.version), (first, second, 2));
    assert_eq!((item.key, text(&item.value), item.lease), (s.key("a"), "2".to_owned(), LeaseId::NONE));
    let third = s.delete("a").await;
    assert_eq!(third, second + 1);
    assert!(s.get("a").await.items.is_empty());
    let fourth = s.put("a", "").await;
    let item = s.get("a").await.items.remove(0);
    assert_eq!((item.create_revision, item.mod_revision, item.version), (fourth, fourth, 1));
    assert_eq!(s.revision().await, fourth);
    s.store.health().await.unwrap();
    assert!(s.store.status().await.unwrap().revision >= fourth);
}

pub(super) async fn ranges_are_ordered_limited_and_counted(s: Subject) {
    for name in ["b/2", "a", "b", "b/1", "c"] {
        s.put(name, name).await;
    }
    let names = |answer: &RangeResponse| answer.items.iter().map(|item| s.name(&item.key)).collect::<Vec<_>>();
    let all = s.store.range(RangeRequest::new(s.all())).await.unwrap();
    assert_eq!(names(&all), ["a", "b", "b/1", "b/2", "c"]);
    assert_eq!((all.count, all.more, all.revision), (5, false, s.revision().await));
    let page = s.store.range(RangeRequest::new(s.all()).limit(2)).await.unwrap();
    assert_eq!((names(&page), page.count, page.more), (vec!["a".to_owned(), "b".to_owned()], 5, true));
    let rest = s.all().starting_at(crate::key::key_after(&page.items.last().unwrap().key));
    let page = s.store.range(RangeRequest::new(rest).limit(3).at(page.revision)).await.unwrap();
    assert_eq!((names(&page).len(), page.count, page.more), (3, 3, false));
    let count = s.store.range(RangeRequest::new(KeyRange::prefix(s.key("b/"))).count_only()).await.unwrap();
    assert_eq!((count.items.len(), count.count, count.more), (0, 2, false));
    let some = s.store.range(RangeRequest::new(KeyRange::between(s.key("b"), s.key("b/2")))).await.unwrap();
    assert_eq!(names(&some), ["b", "b/1"]);
    let none = s.store.range(RangeRequest::new(KeyRange::between(s.key("c"), s.key("b")))).await.unwrap();
    assert_eq!((none.items.len(), none.count), (0, 0));
    let everything = s.store.range(RangeRequest::new(KeyRange::all()).count_only()).await.unwrap();
    assert!(everything.count >= 5);
}

pub(super) async fn the_past_can_be_read(s: Subject) {
    let one = s.put("a", "1").await;
    s.put("b", "1").await;
    let three = s.put("a", "2").await;
    let four = s.delete("b").await;
    let five = s.put("c", "1").await;
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(s.list(Some(one)).await, pairs(&[("a", "1")]));
    assert_eq!(s.list(Some(one + 1)).await, pairs(&[("a", "1"), ("b", "1")]));
    assert_eq!(s.list(Some(three)).await, pairs(&[("a", "2"), ("b", "1")]));
    assert_eq!(s.list(Some(four)).await, pairs(&[("a", "2")]));
    assert_eq!(s.list(Some(five)).await, s.list(None).await);
    let old = s.store.range(RangeRequest::new(s.all()).at(three).limit(1)).await.unwrap();
    assert_eq!((old.items.len(), old.count, old.more), (1, 2, true));
    assert!(old.revision >= five, "the answer tells the newest revision");
    let error = s.store.range(RangeRequest::new(s.all()).at(five + 100)).await.unwrap_err();
    assert!(matches!(error, StoreError::FutureRevision { .. }), "{error}");
}

pub(super) async fn comparisons_decide(s: Subject) {
    let created = s.txn(Txn::create(s.key("a"), "1", LeaseId::NONE)).await;
    assert!(created.succeeded);
    let again = s.txn(Txn::create(s.key("a"), "2", LeaseId::NONE)).await;
    assert!(!again.succeeded);
    assert_eq!(again.current().map(|item| item.mod_revision), Some(created.revision));
    assert_eq!(again.revision, created.revision, "a lost comparison is no revision");
    let updated = s.txn(Txn::update(s.key("a"), created.revision, "3", LeaseId::NONE)).await;
    assert!(updated.succeeded);
    assert!(!s.txn(Txn::update(s.key("a"), created.revision, "4", LeaseId::NONE)).await.succeeded);
    assert!(!s.txn(Txn::delete(s.key("a"), created.revision)).await.succeeded);
    assert_eq!(s.list(None).await, [("a".to_owned(), "3".to_owned())]);
    for (compare, holds) in [
        (Compare::Exists { key: s.key("a") }, true),
        (Compare::Exists { key: s.key("b") }, false),
        (Compare::Absent { key: s.key("a") }, false),
        (Compare::Absent { key: s.key("b") }, true),
        (Compare::ModRevision { key: s.key("b"), revision: 0 }, true),
    ] {
        let answer = s.txn(Txn { compares: vec![compare.clone()], ..Txn::default() }).await;
        assert_eq!(answer.succeeded, holds, "{compare:?}");
    }
    let deleted = s.txn(Txn::delete(s.key("a"), updated.revision)).await;
    assert_eq!((deleted.succeeded, deleted.responses), (true, vec![OpResponse::Delete { deleted: 1 }]));
}

pub(super) async fn a_transaction_is_one_revision(s: Subject) {
    for name in ["old/1", "old/2"] {
        s.put(name, "x").await;
    }
    let put = |name: &str| Op::Put { key: s.key(name), value: "y".into(), lease: LeaseId::NONE };
    let read = Op::Range(RangeRequest::new(s.all()).count_only());
    let delete = Op::Delete { range: KeyRange::prefix(s.key("old/")) };
    let steps = vec![put("new/1"), read.clone(), delete, put("new/2"), read];
    let answer = s.txn(Txn { success: steps, ..Txn::default() }).await;
    let counts: Vec<u64> = answer
        .responses
        .iter()
        .map(|response| match response {
            OpResponse::Range(range) => range.count,
            OpResponse::Delete { deleted } => *deleted,
            OpResponse::Put => 0,
        })
        .collect();
    assert_eq!(counts, [0, 3, 2, 0, 2], "each step sees those before it");
    let now = s.store.range(RangeRequest::new(s.all())).await.unwrap();
    assert!(now.items.iter().all(|item| item.mod_revision == answer.revision));
    assert_eq!(s.revision().await, answer.revision);
}

pub(super) async fn impossible_requests_change_nothing(s: Subject) {
    let before = s.put("a", "1").await;
    let put = |name: &str| Op::Put { key: s.key(name), value: "y".into(), lease: LeaseId::NONE };
    let twice = Txn { success: vec![put("a"), put("a")], ..Txn::default() };
    assert!(matches!(s.store.txn(twice).await, Err(StoreError::Invalid { .. })));
    let both = Txn { success: vec![put("b"), Op::Delete { range: s.all() }], ..Txn::default() };
    assert!(matches!(s.store.txn(both).await, Err(StoreError::Invalid { .. })));
    assert!(matches!(s.store.txn(Txn::put("", "x")).await, Err(StoreError::Invalid { .. })));
    let large = Txn::put(s.key("large"), vec![0; 4 << 20]);
    let error = s.store.txn(large).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(s.list(None).await, [("a".to_owned(), "1".to_owned())]);
    assert_eq!(s.revision().await, before);
}

pub(super) async fn deleting_nothing_is_no_revision(s: Subject) {
    let before = s.put("a", "1").await;
    let delete = Op::Delete { range: KeyRange::prefix(s.key("b")) };
    let answer = s.txn(Txn { success: vec![delete], ..Txn::default() }).await;
    assert_eq!((answer.revision, answer.responses), (before, vec![OpResponse::Delete { deleted: 0 }]));
    assert_eq!(s.revision().await, before);
}

pub(super) async fn concurrent_updates_lose_nothing(s: Subject) {
    const WRITERS: usize = 16;
    const ROUNDS: usize = 8;
    s.put("counter", "0").await;
    let writers = (0..WRITERS).map(|_| {
        let s = s.clone();
        tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..ROUNDS {
                let mut item = s.get("counter").await.items.remove(0);
                loop {
                    assert!(item.mod_revision >= last, "a read went back in time");
                    last = item.mod_revision;
                    let next = (text(&item.value).parse::<usize>().unwrap() + 1).to_string();
                    let answer = s.txn(Txn::update(item.key.clone(), item.mod_revision, next, LeaseId::NONE)).await;
                    if answer.succeeded {
                        assert!(answer.revision > last);
                        last = answer.revision;
                        break;
                    }
                    item = answer.current().unwrap().clone();
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let item = s.get("counter").await.items.remove(0);
    assert_eq!(text(&item.value), (WRITERS * ROUNDS).to_string());
    assert_eq!(item.version, (WRITERS * ROUNDS + 1) as u64);
}
