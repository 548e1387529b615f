use super::*;
use crate::embedded::{Embedded, Options};

#[tokio::test]
async fn keeps_one_period_of_history_and_shares_the_work() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    let put = || async { store.txn(Txn::put("/a", "x")).await.unwrap().revision };
    put().await;
    let first = compact(store.as_ref(), Turn::default()).await.unwrap();
    let seen = put().await;
    assert_eq!(compact(store.as_ref(), Turn::default()).await.unwrap(), Turn { version: 1, revision: seen });
    let second = compact(store.as_ref(), first).await.unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(store.status().await.unwrap().compacted, first.revision);
    assert!(matches!(
        store.range(RangeRequest::single("/a").at(first.revision - 1)).await,
        Err(StoreError::Compacted { .. })
    ));
    store.range(RangeRequest::single("/a").at(first.revision)).await.unwrap();
}
