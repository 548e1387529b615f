//! A process that writes is killed again and again; the next one must find everything that was acknowledged.
#![expect(clippy::disallowed_methods, reason = "the test kills processes of its own")]

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use super::*;

const CHILD: &str = "SKEP_STORAGE_CRASH_CHILD";
const WRITERS: usize = 8;

fn options() -> Options {
    // snapshots all the time
    Options { min_log_bytes: 20_000, history_bytes: 1 << 20, ..Options::default() }
}

/// Writes until it is killed; tells every acknowledged write, and every event that a watch saw, in a line.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Embedded::open(Path::new(&directory), options()).unwrap();
        let first = store.revision().await.unwrap();
        let mut watch = store.watch(KeyRange::all(), first + 1).await.unwrap();
        for writer in 0..WRITERS {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0.. {
                    let key = format!("/{writer}/{}", number % 20);
                    if number % 7 == 6 {
                        let now = store.range(RangeRequest::single(key.clone())).await.unwrap();
                        let revision = now.items.first().map_or(0, |item| item.mod_revision);
                        let answer = store.txn(Txn::delete(key.clone(), revision)).await.unwrap();
                        tell(&format!("D {key} {} -", answer.revision));
                    } else {
                        let value = format!("{first}.{number}.{}", "x".repeat(number % 500));
                        let answer = store.txn(Txn::put(key.clone(), value.clone())).await.unwrap();
                        tell(&format!("P {key} {} {value}", answer.revision));
                    }
                }
            });
        }
        let mut next = first + 1;
        while let Some(item) = watch.items.next().await {
            if let WatchItem::Events(events) = item.unwrap() {
                for event in events {
                    assert!(event.revision() == next || event.revision() + 1 == next, "a gap in the watch");
                    next = event.revision() + 1;
                }
                tell(&format!("W - {} -", next - 1));
            }
        }
    });
}

/// One write, so that a line is whole or missing.
fn tell(line: &str) {
    drop(std::io::stdout().write_all(format!("{line}\n").as_bytes()));
}

#[test]
fn a_killed_process_loses_nothing() {
    let kills = if std::env::var_os("SKEP_TEST_LONG").is_some() { 400 } else { 20 };
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = 42u64;
    let mut newest = 1;
    // the last acknowledged state of each key: revision and value
    let mut known = BTreeMap::<String, (Revision, Option<String>)>::new();
    let mut writes = 0;
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["embedded::tests::crash::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // after so many bytes of its output, so that the moment does not depend on the machine's speed
        let wanted = usize::try_from(random >> 33).unwrap() % 60_000;
        let mut told = Vec::new();
        let mut buffer = [0; 4096];
        while told.len() < wanted {
            let read = output.read(&mut buffer).unwrap();
            assert!(read > 0, "round {round}: the writer ended: {}", String::from_utf8_lossy(&told));
            told.extend_from_slice(&buffer[..read]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        output.read_to_end(&mut told).unwrap();

        let told = String::from_utf8(told).unwrap();
        for line in told.lines() {
            let mut words = line.split(' ');
            let (Some(kind @ ("P" | "D" | "W")), Some(key), Some(revision), Some(value)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let revision: Revision = revision.parse().unwrap();
            newest = newest.max(revision);
            if kind != "W" {
                writes += 1;
                let value = (kind == "P").then(|| value.to_owned());
                let entry = known.entry(key.to_owned()).or_default();
                if revision > entry.0 {
                    *entry = (revision, value);
                }
            }
        }
        let found = runtime.block_on(async {
            let store = Embedded::open(directory.path(), options()).unwrap_or_else(|error| panic!("{round}: {error}"));
            let all = store.range(RangeRequest::new(KeyRange::all())).await.unwrap();
            if let Ok(events) = events(&store, all.revision.saturating_sub(100).max(1)).await {
                assert!(events.windows(2).all(|pair| pair[0].revision() + 1 == pair[1].revision()));
            }
            all
        });
        assert!(found.revision >= newest, "round {round}: revision {} after {newest}", found.revision);
        newest = found.revision;
        let items: BTreeMap<String, _> = found
            .items
            .into_iter()
            .map(|item| {
                let value = String::from_utf8(item.value.to_vec()).unwrap();
                (String::from_utf8(item.key.to_vec()).unwrap(), (item.mod_revision, value))
            })
            .collect();
        for (key, (revision, value)) in &known {
            match (items.get(key), value) {
                (Some((at, now)), Some(value)) if at == revision => assert_eq!(now, value, "round {round}: {key}"),
                // a write of the same writer that was not acknowledged any more
                (Some((at, _)), _) => assert!(at > revision, "round {round}: {key} is at {at}, told {revision}"),
                (None, None) => {}
                (None, Some(_)) => {
                    let number = key.rsplit('/').next().unwrap();
                    // only a deletion in flight may have removed it
                    assert!(newest > *revision, "round {round}: {key} ({number}) is lost");
                }
            }
        }
        known = items.into_iter().map(|(key, (revision, value))| (key, (revision, Some(value)))).collect();
    }
    eprintln!("{kills} kills, {writes} acknowledged writes, revision {newest}");
    assert!(writes > 0);
}
