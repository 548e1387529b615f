//! Figures of the embedded engine and the watch cache on this machine, as lines of JSON `{"name", "value", "unit"}`.
//!
//! `cargo run --release -p skep-storage --example bench_storage [DIRECTORY [SECONDS]]`; the directory decides the disk.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use skep_storage::embedded::{Embedded, Options};
use skep_storage::key::KeyRange;
use skep_storage::store::{LeaseId, Revision, Store, StoreError, Txn};
use skep_storage::watch_cache::{
    self, Decode, DecodeError, Filter, Freshness, ListAt, ListRequest, WatchCache, WatchEvent, WatchFrom, WatchRequest,
};
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An object of about a kilobyte, as the server would keep it.
struct Object {
    value: Bytes,
}

struct Keep;

impl Decode<Object> for Keep {
    fn decode(&self, _key: &Bytes, value: &Bytes, _revision: Revision) -> Result<Object, DecodeError> {
        Ok(Object { value: value.clone() })
    }

    fn at_revision(&self, object: &Object, _revision: Revision) -> Object {
        Object { value: object.value.clone() }
    }
}

fn report(name: &str, value: f64, unit: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), r#"{{"name":"{name}","value":{value:.2},"unit":"{unit}"}}"#)?;
    Ok(())
}

fn percentile(sorted: &[Duration], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a small list")]
    let index = ((sorted.len() as f64) * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Compare-and-put of a 1 KiB object of its own by each writer, one after another.
async fn updates(store: &Arc<Embedded>, writers: usize, time: Duration) -> Result<(), Failure> {
    let until = Instant::now() + time;
    let tasks = (0..writers).map(|writer| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let key = Bytes::from(format!("/registry/leases/kube-node-lease/node-{writer:05}"));
            let value = Bytes::from(vec![b'x'; 1024]);
            let mut revision = store.txn(Txn::put(key.clone(), value.clone())).await?.revision;
            let mut times = Vec::new();
            while Instant::now() < until {
                let start = Instant::now();
                let update = Txn::update(key.clone(), revision, value.clone(), LeaseId::NONE);
                revision = store.txn(update).await?.revision;
                times.push(start.elapsed());
            }
            Ok::<_, StoreError>(times)
        })
    });
    let mut times = Vec::new();
    for task in futures::future::join_all(tasks).await {
        times.extend(task??);
    }
    times.sort_unstable();
    let name = format!("durable updates, {writers} writers");
    report(&name, times.len() as f64 / time.as_secs_f64(), "1/s")?;
    report(&format!("{name}, p50"), percentile(&times, 0.5), "ms")?;
    report(&format!("{name}, p99"), percentile(&times, 0.99), "ms")
}

/// From the acknowledgement of a write to the last of many watchers that sees it.
async fn fan_out(store: &Arc<Embedded>, watchers: usize, writes: u64) -> Result<(), Failure> {
    let cache = WatchCache::start(
        Arc::clone(store) as Arc<dyn Store>,
        Bytes::from_static(b"/registry/pods/"),
        Arc::new(Keep),
        watch_cache::Options::default(),
    );
    cache.ready(Duration::from_secs(10)).await?;
    let before = memory_mib();
    let seen = Arc::new(AtomicU64::new(0));
    let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for _ in 0..watchers {
        let mut watcher = cache
            .watch(WatchRequest {
                range: KeyRange::prefix("/registry/pods/"),
                from: WatchFrom::Now(Freshness::Any),
                filter: None,
                index: None,
                bookmarks: Some(Duration::from_secs(60)),
            })
            .await?;
        let (seen, told) = (Arc::clone(&seen), told.clone());
        let all = watchers as u64;
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some(Ok(event)) = watcher.next().await {
                if !matches!(event, WatchEvent::Bookmark { .. }) {
                    times.push(Instant::now());
                    let last = (seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(all);
                    if last && told.send(()).is_err() {
                        break;
                    }
                }
                if times.len() as u64 == writes {
                    break;
                }
            }
            times
        }));
    }
    let mut written = Vec::new();
    for number in 0..writes {
        store.txn(Txn::put(format!("/registry/pods/default/pod-{}", number % 100), vec![b'x'; 1024])).await?;
        written.push(Instant::now());
        telling.recv().await.ok_or("the watchers ended")?;
    }
    let mut times = Vec::new();
    for task in tasks {
        let seen = task.await?;
        // an event may overtake the acknowledgement
        times.extend(seen.iter().zip(&written).map(|(seen, written)| seen.saturating_duration_since(*written)));
    }
    times.sort_unstable();
    let name = format!("write to watch event, {watchers} watchers");
    report(&format!("{name}, p50"), percentile(&times, 0.5), "ms")?;
    report(&format!("{name}, p99"), percentile(&times, 0.99), "ms")?;
    report(&format!("memory of {watchers} watchers"), memory_mib() - before, "MiB")
}

/// Lists of many objects with a selector that matches none.
async fn lists(store: &Arc<Embedded>, objects: usize) -> Result<(), Failure> {
    let before = memory_mib();
    let numbers: Vec<usize> = (0..objects).collect();
    for numbers in numbers.chunks(1000) {
        let puts = numbers.iter().map(|number| {
            let key = format!("/registry/configmaps/ns-{}/object-{number:06}", number % 100);
            store.txn(Txn::put(key, vec![b'x'; 1000]))
        });
        for answer in futures::future::join_all(puts).await {
            answer?;
        }
    }
    report(&format!("memory of {objects} objects of 1 KB in the engine"), memory_mib() - before, "MiB")?;
    let start = Instant::now();
    let cache = WatchCache::start(
        Arc::clone(store) as Arc<dyn Store>,
        Bytes::from_static(b"/registry/configmaps/"),
        Arc::new(Keep),
        watch_cache::Options::default(),
    );
    cache.ready(Duration::from_secs(60)).await?;
    report(&format!("fill the cache with {objects} objects"), start.elapsed().as_secs_f64() * 1e3, "ms")?;
    let filter: Filter<Object> = Arc::new(|object: &Object| object.value.first() == Some(&b'y'));
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let list = ListRequest {
            range: KeyRange::prefix("/registry/configmaps/"),
            at: ListAt::Newest(Freshness::Latest),
            limit: 0,
            filter: Some(Arc::clone(&filter)),
        };
        let found = cache.list(list).await?;
        if !found.items.is_empty() {
            return Err("the selector matches nothing".into());
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    report(&format!("consistent list of {objects} objects that selects none, p50"), percentile(&times, 0.5), "ms")
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let directory = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = args.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let directory = directory.join(format!("bench-storage-{}", std::process::id()));
    report("memory, empty process", memory_mib(), "MiB")?;
    let store = Embedded::open(&directory, Options::default())?;
    report("memory, empty store", memory_mib(), "MiB")?;
    for writers in [1, 64, 256, 1024] {
        updates(&store, writers, Duration::from_secs(seconds)).await?;
    }
    report("memory after the updates", memory_mib(), "MiB")?;
    report("disk after the updates", store.status().await?.disk_bytes as f64 / f64::from(1 << 20), "MiB")?;
    for watchers in [1, 1000] {
        fan_out(&store, watchers, 200).await?;
    }
    lists(&store, 300_000).await?;
    drop(store);
    let start = Instant::now();
    let store = Embedded::open(&directory, Options::default())?;
    report("open a store of 300000 objects", start.elapsed().as_secs_f64() * 1e3, "ms")?;
    drop(store);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
