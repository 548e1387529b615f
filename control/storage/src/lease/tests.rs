use super::*;
use crate::embedded::{Embedded, Options};
use crate::store::Txn;

#[tokio::test]
async fn keys_share_leases_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path(), Options::default()).unwrap();
    let pool = LeasePool::new(Arc::clone(&store) as Arc<dyn Store>, Duration::from_secs(3600));
    let first = pool.lease().await.unwrap();
    for _ in 1..MAX_KEYS {
        assert_eq!(pool.lease().await.unwrap(), first);
    }
    let second = pool.lease().await.unwrap();
    assert_ne!(second, first);
    store.txn(Txn::create("/event", "x", second)).await.unwrap();
    assert_eq!(store.lease_keep_alive(second).await.unwrap(), Duration::from_secs(3660));
}
