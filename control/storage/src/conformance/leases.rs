//! Cases about leases.

use super::*;

async fn put_with(s: &Subject, name: &str, lease: LeaseId) -> Revision {
    let answer = s.txn(Txn::create(s.key(name), "x", lease)).await;
    assert!(answer.succeeded);
    answer.revision
}

pub(super) async fn a_lease_ends_its_keys(s: Subject) {
    let mut watch = s.watch(0).await;
    let lease = grant(&s, 1).await;
    s.put("stays", "x").await;
    put_with(&s, "a", lease).await;
    put_with(&s, "b", lease).await;
    assert_eq!(s.get("a").await.items[0].lease, lease);
    let events = watch.events(5).await;
    assert!(events[3].starts_with("a-@") && events[4].starts_with("b-@"), "{events:?}");
    assert_eq!(s.list(None).await, [("stays".to_owned(), "x".to_owned())]);
}

pub(super) async fn revoking_deletes_in_one_revision(s: Subject) {
    let mut watch = s.watch(0).await;
    let lease = grant(&s, 3600).await;
    put_with(&s, "a", lease).await;
    let before = put_with(&s, "b", lease).await;
    s.store.lease_revoke(lease).await.unwrap();
    let gone = before + 1;
    assert_eq!(watch.events(4).await[2..], [format!("a-@{gone}"), format!("b-@{gone}")]);
    assert_eq!(s.revision().await, gone);
    let empty = grant(&s, 3600).await;
    s.store.lease_revoke(empty).await.unwrap();
    assert_eq!(s.revision().await, gone, "a lease without keys is no revision");
}

pub(super) async fn keep_alive_and_detach(s: Subject) {
    let lease = grant(&s, 600).await;
    put_with(&s, "a", lease).await;
    put_with(&s, "b", lease).await;
    assert_eq!(s.store.lease_keep_alive(lease).await.unwrap(), Duration::from_secs(600));
    s.put("a", "without lease").await;
    s.store.lease_revoke(lease).await.unwrap();
    assert_eq!(s.list(None).await, [("a".to_owned(), "without lease".to_owned())]);
}

pub(super) async fn unknown_leases_are_refused(s: Subject) {
    let lease = LeaseId(0x7eed);
    let error = s.store.txn(Txn::create(s.key("a"), "x", lease)).await.unwrap_err();
    assert!(matches!(error, StoreError::LeaseNotFound { lease: LeaseId(0x7eed) }), "{error}");
    assert!(matches!(s.store.lease_keep_alive(lease).await, Err(StoreError::LeaseNotFound { .. })));
    assert!(matches!(s.store.lease_revoke(lease).await, Err(StoreError::LeaseNotFound { .. })));
    assert!(s.list(None).await.is_empty());
}
