//! A case about the watch cache above a store: whatever is read or watched through it is what the store says.

use std::collections::BTreeMap;

use super::*;
use crate::watch_cache::{
    self, CacheError, Decode, DecodeError, Filter, Freshness, ListAt, ListRequest, WatchCache, WatchEvent, WatchFrom,
    WatchRequest, Watcher,
};

/// An object that knows its key.
#[derive(Debug)]
struct Object {
    key: Bytes,
    value: String,
    revision: Revision,
}

struct Decoder;

impl Decode<Object> for Decoder {
    fn decode(&self, key: &Bytes, value: &Bytes, revision: Revision) -> Result<Object, DecodeError> {
        Ok(Object { key: key.clone(), value: text(value), revision })
    }

    fn at_revision(&self, object: &Object, revision: Revision) -> Object {
        Object { key: object.key.clone(), value: object.value.clone(), revision }
    }
}

const WRITERS: usize = 4;
const WRITES: usize = 40;

/// Writes, deletes and reads back through the cache.
async fn write(s: Subject, cache: Arc<WatchCache<Object>>, writer: usize) {
    for number in 0..WRITES {
        let name = format!("{writer}/{}", number % 5);
        let revision = if number % 7 == 6 && !s.get(&name).await.items.is_empty() {
            s.delete(&name).await
        } else {
            s.put(&name, &format!("{}", number % 3)).await
        };
        let fresh = if number % 2 == 0 { Freshness::Latest } else { Freshness::AtLeast(revision) };
        let seen = cache.get(&s.key(&name), fresh).await.unwrap();
        let stored = s.get(&name).await;
        let stored = stored.items.first();
        assert_eq!(seen.as_ref().map(|object| object.revision), stored.map(|item| item.mod_revision));
        assert_eq!(seen.map(|object| object.value.clone()), stored.map(|item| text(&item.value)));
        if number % 5 == 0 {
            exact_list(&s, &cache, revision).await;
        }
    }
}

/// The list of one revision, in pages, while others write.
async fn exact_list(s: &Subject, cache: &WatchCache<Object>, revision: Revision) {
    let mut range = s.all();
    let mut listed = Vec::new();
    loop {
        let request = ListRequest { range: range.clone(), at: ListAt::Exact(revision), limit: 3, filter: None };
        let page = cache.list(request).await.unwrap();
        assert_eq!(page.revision, revision);
        listed.extend(page.items.iter().map(|object| (s.name(&object.key), object.value.clone())));
        let Some(next) = page.next else { break };
        range = range.starting_at(next);
    }
    assert_eq!(listed, s.list(Some(revision)).await, "the list at {revision}");
}

/// Follows a watch from its first state until `done` tells a revision and the watch has reached it; answers what it made.
async fn follow(
    mut watcher: Watcher<Object>,
    filter: Option<Filter<Object>>,
    done: tokio::sync::watch::Receiver<Revision>,
) -> BTreeMap<Bytes, Revision> {
    let mut now = BTreeMap::<Bytes, Revision>::new();
    let mut newest = 0;
    let mut initial = true;
    loop {
        let item = tokio::time::timeout(Duration::from_secs(30), watcher.next()).await.expect("an event in time");
        match item.unwrap().unwrap() {
            WatchEvent::Added { object, revision } => {
                assert!(initial || revision > newest, "{revision} after {newest}");
                assert!(filter.as_ref().is_none_or(|filter| filter(&object)));
                assert!(now.insert(object.key.clone(), object.revision).is_none(), "added twice");
                newest = newest.max(revision);
            }
            WatchEvent::Modified { object, revision } => {
                assert!(revision > newest && object.revision == revision);
                assert!(now.insert(object.key.clone(), revision).is_some(), "modified before it was added");
                newest = revision;
            }
            WatchEvent::Deleted { object, revision } => {
                assert!(revision > newest && object.revision == revision);
                assert!(now.remove(&object.key).is_some(), "deleted before it was added");
                newest = revision;
            }
            WatchEvent::Bookmark { revision, initial_end } => {
                assert!(revision >= newest, "bookmark {revision} after {newest}");
                newest = revision;
                if initial_end {
                    assert!(std::mem::take(&mut initial), "a second end of the first state");
                }
                let last = *done.borrow();
                if last > 0 && revision >= last {
                    return now;
                }
            }
        }
    }
}

/// Writers, readers and watchers at once; in the end all agree with the store.
pub(super) async fn the_watch_cache_shows_the_store(s: Subject) {
    let options = watch_cache::Options { fresh_timeout: Duration::from_secs(20), ..watch_cache::Options::default() };
    let cache = WatchCache::start(Arc::clone(&s.store), s.prefix.clone().into(), Arc::new(Decoder), options);
    cache.ready(Duration::from_secs(20)).await.unwrap();
    let (done, is_done) = tokio::sync::watch::channel(0);
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(s.clone(), Arc::clone(&cache), writer))).collect();
    let filter: Filter<Object> = Arc::new(|object: &Object| object.value != "1");
    let mut watches = Vec::new();
    for number in 0..12 {
        let filter = (number % 2 == 1).then(|| Arc::clone(&filter));
        let watcher = cache
            .watch(WatchRequest {
                range: s.all(),
                from: WatchFrom::State { freshness: Freshness::Latest, end_bookmark: true },
                filter: filter.clone(),
                index: None,
                bookmarks: Some(Duration::from_millis(50)),
            })
            .await
            .unwrap();
        watches.push((filter.clone(), tokio::spawn(follow(watcher, filter, is_done.clone()))));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.send_replace(s.revision().await);
    let stored = s.store.range(RangeRequest::new(s.all())).await.unwrap();
    for (filter, watch) in watches {
        let want: BTreeMap<Bytes, Revision> = stored
            .items
            .iter()
            .filter(|item| filter.is_none() || text(&item.value) != "1")
            .map(|item| (item.key.clone(), item.mod_revision))
            .collect();
        assert_eq!(watch.await.unwrap(), want);
    }
    let future = WatchFrom::After(s.revision().await + 1);
    let mut late = cache
        .watch(WatchRequest { range: s.all(), from: future, filter: None, index: None, bookmarks: None })
        .await
        .unwrap();
    s.put("late", "1").await;
    let second = s.put("late", "2").await;
    let event = late.next().await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Modified { revision, .. } if revision == second), "{event:?}");
    let old = WatchRequest { range: s.all(), from: WatchFrom::After(0), filter: None, index: None, bookmarks: None };
    assert!(matches!(cache.watch(old).await, Err(CacheError::TooOld { .. })));
}
