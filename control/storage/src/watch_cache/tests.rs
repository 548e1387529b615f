use futures::{FutureExt as _, StreamExt as _};

use super::*;
use crate::embedded::{self, Embedded};
use crate::store::{LeaseId, Txn};

#[derive(Debug, PartialEq)]
struct Item {
    text: String,
    revision: Revision,
}

struct Text;

impl Decode<Item> for Text {
    fn decode(&self, _key: &Bytes, value: &Bytes, revision: Revision) -> Result<Item, DecodeError> {
        let text = std::str::from_utf8(value).map_err(|error| DecodeError { reason: error.to_string() })?;
        Ok(Item { text: text.to_owned(), revision })
    }

    fn at_revision(&self, object: &Item, revision: Revision) -> Item {
        Item { text: object.text.clone(), revision }
    }

    fn index<'a>(&self, object: &'a Item) -> Option<&'a str> {
        object.text.split('@').nth(1)
    }
}

struct Fixture {
    _directory: tempfile::TempDir,
    store: Arc<Embedded>,
    cache: Arc<WatchCache<Item>>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Options { fresh_timeout: Duration::from_secs(10), ..Options::default() })
    }

    fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), embedded::Options::default()).unwrap();
        let cache = WatchCache::start(Arc::clone(&store) as Arc<dyn Store>, "/r/".into(), Arc::new(Text), options);
        Self { _directory: directory, store, cache }
    }

    async fn put(&self, key: &str, value: &str) -> Revision {
        self.store.txn(Txn::put(key.to_owned(), value.to_owned())).await.unwrap().revision
    }

    async fn delete(&self, key: &str) -> Revision {
        let now = self.store.range(crate::store::RangeRequest::single(key.to_owned())).await.unwrap();
        let revision = now.items[0].mod_revision;
        let done = self.store.txn(Txn::delete(key.to_owned(), revision)).await.unwrap();
        assert!(done.succeeded);
        done.revision
    }

    async fn list(&self, at: ListAt, limit: usize, start: Option<Bytes>) -> ListResponse<Item> {
        let mut range = KeyRange::prefix("/r/");
        if let Some(start) = start {
            range = range.starting_at(start);
        }
        self.cache.list(ListRequest { range, at, limit, filter: None }).await.unwrap()
    }

    async fn watch(&self, from: WatchFrom) -> Watcher<Item> {
        self.cache.watch(request(from)).await.unwrap()
    }
}

fn request(from: WatchFrom) -> WatchRequest<Item> {
    WatchRequest { range: KeyRange::prefix("/r/"), from, filter: None, index: None, bookmarks: None }
}

fn texts(list: &ListResponse<Item>) -> Vec<&str> {
    list.items.iter().map(|item| item.text.as_str()).collect()
}

/// One event in short: `+text@revision`, `~…`, `-…`, `=revision` for bookmarks, `!` at the end of the first state.
async fn next(watcher: &mut Watcher<Item>) -> String {
    let item = tokio::time::timeout(Duration::from_secs(10), watcher.next()).await.expect("an event in time").unwrap();
    let of = |sign: &str, object: &Item, revision| format!("{sign}{}/{}/{revision}", object.text, object.revision);
    match item {
        Ok(WatchEvent::Added { object, revision }) => of("+", &object, revision),
        Ok(WatchEvent::Modified { object, revision }) => of("~", &object, revision),
        Ok(WatchEvent::Deleted { object, revision }) => of("-", &object, revision),
        Ok(WatchEvent::Bookmark { revision, initial_end: false }) => format!("={revision}"),
        Ok(WatchEvent::Bookmark { revision, initial_end: true }) => format!("!{revision}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn reads_what_was_written() {
    let f = Fixture::new();
    f.put("/r/b", "b1").await;
    f.put("/q/x", "other resource").await;
    f.put("/r/a", "a1").await;
    let latest = ListAt::Newest(Freshness::Latest);
    let list = f.list(latest, 0, None).await;
    assert_eq!((texts(&list), list.revision, &list.next), (vec!["a1", "b1"], 4, &None));
    f.put("/q/x", "moves the store's revision, not the prefix").await;
    let list = f.list(latest, 0, None).await;
    assert_eq!(list.revision, 5, "progress carries the cache to the newest revision");
    assert_eq!(f.cache.get(b"/r/a", Freshness::Latest).await.unwrap().unwrap().revision, 4);
    assert_eq!(f.cache.get(b"/r/c", Freshness::Any).await.unwrap(), None);
    assert_eq!(f.cache.len(), 2);
}

#[tokio::test]
async fn pages_stay_at_their_revision() {
    let f = Fixture::new();
    for key in ["a", "b", "c", "d"] {
        f.put(&format!("/r/{key}"), key).await;
    }
    let first = f.list(ListAt::Newest(Freshness::Latest), 2, None).await;
    assert_eq!((texts(&first), first.revision, first.remaining), (vec!["a", "b"], 5, Some(2)));
    f.delete("/r/c").await;
    f.put("/r/d", "new").await;
    f.put("/r/bb", "new").await;
    f.cache.get(b"/r/bb", Freshness::Latest).await.unwrap();
    let second = f.list(ListAt::Exact(first.revision), 2, first.next).await;
    assert_eq!((texts(&second), second.revision, &second.next, second.remaining), (vec!["c", "d"], 5, &None, None));
    let now = f.list(ListAt::Newest(Freshness::Any), 0, None).await;
    assert_eq!(texts(&now), ["a", "b", "new", "new"]);
}

#[tokio::test]
async fn waits_for_a_revision_and_gives_up() {
    let f = Fixture::with(Options { fresh_timeout: Duration::from_millis(50), ..Options::default() });
    f.cache.ready(Duration::from_secs(10)).await.unwrap();
    let error = f.cache.get(b"/r/a", Freshness::AtLeast(9)).await.unwrap_err();
    assert!(matches!(error, CacheError::TooLarge { requested: 9, current: 1 }), "{error}");
    let (got, _) = tokio::join!(f.cache.get(b"/r/a", Freshness::AtLeast(2)), f.put("/r/a", "a"));
    assert_eq!(got.unwrap().unwrap().text, "a");
}

#[tokio::test]
async fn a_watch_sees_every_change_once() {
    let f = Fixture::new();
    f.put("/r/a", "a1").await;
    let mut all = f.watch(WatchFrom::State { freshness: Freshness::Latest, end_bookmark: true }).await;
    let mut new = f.watch(WatchFrom::Now(Freshness::Latest)).await;
    let mut after = f.watch(WatchFrom::After(2)).await;
    let mut future = f.watch(WatchFrom::After(3)).await;
    f.put("/r/a", "a2").await;
    f.delete("/r/a").await;
    assert_eq!(next(&mut all).await, "+a1/2/2");
    assert_eq!(next(&mut all).await, "!2");
    for watcher in [&mut all, &mut new, &mut after] {
        assert_eq!(next(watcher).await, "~a2/3/3");
        assert_eq!(next(watcher).await, "-a2/4/4");
    }
    assert_eq!(next(&mut future).await, "-a2/4/4");
    assert_eq!(f.cache.watchers(), 4);
    drop((all, new));
    assert_eq!(f.cache.watchers(), 2);
    assert!(after.next().now_or_never().is_none());
    let mut late = f.watch(WatchFrom::After(2)).await;
    assert_eq!(next(&mut late).await, "~a2/3/3");
    assert_eq!(next(&mut late).await, "-a2/4/4");
}

#[tokio::test]
async fn a_filter_makes_objects_enter_and_leave() {
    let f = Fixture::new();
    f.cache.ready(Duration::from_secs(10)).await.unwrap();
    let filter: Filter<Item> = Arc::new(|item| item.text.ends_with("@n1"));
    let mut filtered = f
        .cache
        .watch(WatchRequest { filter: Some(Arc::clone(&filter)), ..request(WatchFrom::Now(Freshness::Any)) })
        .await
        .unwrap();
    let mut indexed = f
        .cache
        .watch(WatchRequest {
            filter: Some(filter),
            index: Some("n1".to_owned()),
            ..request(WatchFrom::Now(Freshness::Any))
        })
        .await
        .unwrap();
    f.put("/r/a", "a@n2").await;
    f.put("/r/a", "a@n1").await;
    f.put("/r/a", "b@n1").await;
    f.put("/r/a", "b@n2").await;
    f.put("/r/b", "c@n1").await;
    f.delete("/r/b").await;
    for watcher in [&mut filtered, &mut indexed] {
        assert_eq!(next(watcher).await, "+a@n1/3/3");
        assert_eq!(next(watcher).await, "~b@n1/4/4");
        assert_eq!(next(watcher).await, "-b@n1/5/5");
        assert_eq!(next(watcher).await, "+c@n1/6/6");
        assert_eq!(next(watcher).await, "-c@n1/7/7");
    }
}

#[tokio::test]
async fn a_slow_watcher_ends_and_delays_nobody() {
    let f = Fixture::with(Options { watcher_events: 4, ..Options::default() });
    f.cache.ready(Duration::from_secs(10)).await.unwrap();
    let mut slow = f.watch(WatchFrom::Now(Freshness::Any)).await;
    let mut quick = f.watch(WatchFrom::Now(Freshness::Any)).await;
    for number in 0..10 {
        let revision = f.put("/r/a", "x").await;
        let sign = if number == 0 { "+" } else { "~" };
        assert_eq!(next(&mut quick).await, format!("{sign}x/{revision}/{revision}"));
    }
    assert!(matches!(slow.next().await, Some(Err(CacheError::Slow { limit: 4 }))));
    assert!(slow.next().await.is_none());
}

#[tokio::test]
async fn history_is_bounded_and_says_so() {
    let f = Fixture::with(Options { history_bytes: 2000, ..Options::default() });
    f.cache.ready(Duration::from_secs(10)).await.unwrap();
    for _ in 0..20 {
        f.put("/r/a", "x").await;
    }
    f.cache.get(b"/r/a", Freshness::Latest).await.unwrap();
    let error = f.cache.watch(request(WatchFrom::After(2))).await.unwrap_err();
    let CacheError::TooOld { requested: 2, oldest } = error else { panic!("{error}") };
    let mut watcher = f.watch(WatchFrom::After(oldest)).await;
    assert_eq!(next(&mut watcher).await, format!("~x/{0}/{0}", oldest + 1));
    let range = KeyRange::prefix("/r/");
    let list = ListRequest { range, at: ListAt::Exact(2), limit: 0, filter: None };
    assert!(matches!(f.cache.list(list).await, Err(CacheError::TooOld { .. })));
}

#[tokio::test]
async fn bookmarks_tell_the_stores_revision() {
    let f = Fixture::new();
    f.cache.ready(Duration::from_secs(10)).await.unwrap();
    let bookmarks = Some(Duration::from_millis(20));
    let mut watcher =
        f.cache.watch(WatchRequest { bookmarks, ..request(WatchFrom::Now(Freshness::Any)) }).await.unwrap();
    let revision = f.put("/q/x", "elsewhere").await;
    while next(&mut watcher).await != format!("={revision}") {}
}

#[tokio::test]
async fn an_undecodable_object_is_told_not_hidden() {
    let f = Fixture::new();
    f.put("/r/a", "good").await;
    f.put("/r/n/b", "good").await;
    let mut watcher = f.watch(WatchFrom::Now(Freshness::Latest)).await;
    f.store.txn(Txn::update("/r/a", 2, Bytes::from_static(b"\xff"), LeaseId::NONE)).await.unwrap();
    assert!(next(&mut watcher).await.starts_with("unable to decode the object at /r/a: "));
    let error = f.cache.get(b"/r/a", Freshness::Latest).await.unwrap_err();
    assert!(matches!(error, CacheError::Undecodable { .. }), "{error}");
    assert!(
        f.cache
            .list(ListRequest {
                range: KeyRange::prefix("/r/"),
                at: ListAt::Newest(Freshness::Any),
                limit: 0,
                filter: None
            })
            .await
            .is_err()
    );
    assert_eq!(f.cache.get(b"/r/n/b", Freshness::Any).await.unwrap().unwrap().text, "good");
    f.put("/r/a", "repaired").await;
    assert_eq!(texts(&f.list(ListAt::Newest(Freshness::Latest), 0, None).await), ["repaired", "good"]);
}

#[tokio::test]
async fn watchers_end_with_the_cache() {
    let f = Fixture::new();
    let mut watcher = f.watch(WatchFrom::Now(Freshness::Latest)).await;
    drop(f.cache);
    assert!(matches!(watcher.next().await, Some(Err(CacheError::Closed))));
}

#[tokio::test]
async fn index_follows_the_objects() {
    let fixture = Fixture::new();
    fixture.put("/r/a", "1@x").await;
    fixture.put("/r/b", "2@x").await;
    let last = fixture.put("/r/c", "3@").await;
    fixture.cache.get(b"/r/c", Freshness::AtLeast(last)).await.unwrap();
    let texts = |value: &str| fixture.cache.indexed(value).iter().map(|item| item.text.clone()).collect::<Vec<_>>();
    assert_eq!((texts("x"), texts("")), (vec!["1@x".to_owned(), "2@x".to_owned()], Vec::new()));
    assert_eq!(fixture.cache.changed(), last);
    fixture.put("/r/a", "1@y").await;
    let last = fixture.delete("/r/b").await;
    fixture.put("/elsewhere", "no change here").await;
    fixture.cache.get(b"/r/c", Freshness::Latest).await.unwrap();
    assert_eq!((texts("x"), texts("y")), (Vec::new(), vec!["1@y".to_owned()]));
    assert_eq!(fixture.cache.changed(), last);
}
