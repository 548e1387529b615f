#![expect(clippy::disallowed_methods, reason = "the tests run a real etcd")]

use futures::StreamExt as _;

use self::process::Process;
use super::*;
use crate::conformance::CASES;
use crate::store::{Event, Txn, WatchItem};

mod process;

async fn connect(server: &Process) -> Arc<Etcd> {
    let mut options = Options::new(vec![server.url()]);
    options.request_timeout = Duration::from_secs(2);
    for _ in 0..50 {
        match Etcd::connect(options.clone()).await {
            Ok(etcd) => return etcd,
            Err(error) => eprintln!("not yet: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd does not answer");
}

#[test]
fn old_versions_tell_their_progress_unsafely() {
    for (version, safe) in
        [("3.4.23", false), ("3.4.25", true), ("3.5.7", false), ("3.5.8", true), ("3.6.0-rc.1", true), ("4.0.0", true)]
    {
        assert_eq!(progress_is_safe(version), safe, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_conforms() {
    let Some(server) = Process::start() else { return };
    let etcd = connect(&server).await;
    for case in CASES {
        eprintln!("{}", case.name);
        case.run(Arc::clone(&etcd) as Arc<dyn Store>).await;
    }
}

/// etcd issue 15271: after a broken connection a watch goes on exactly where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_survives_a_restart_without_gap_or_repetition() {
    let Some(mut server) = Process::start() else { return };
    let etcd = connect(&server).await;
    let mut watch = etcd.watch(KeyRange::prefix("/a/"), 0).await.unwrap();
    let mut written = Vec::new();
    for round in 0..3 {
        for number in 0..5 {
            let put = || etcd.txn(Txn::put(format!("/a/{number}"), round.to_string()));
            let answer = loop {
                match put().await {
                    Ok(answer) => break answer,
                    // it may have been written: then there is one more event with this key and value
                    Err(error) => eprintln!("not yet: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            written.push(answer.revision);
        }
        server.restart();
    }
    etcd_is_back(&etcd).await;
    let mut seen = Vec::new();
    while seen.last() != written.last() {
        let item = timeout(Duration::from_secs(20), watch.items.next()).await.expect("an event in time");
        if let WatchItem::Events(events) = item.unwrap().unwrap() {
            seen.extend(events.iter().map(Event::revision));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seen:?}");
    assert!(written.iter().all(|revision| seen.contains(revision)));
}

async fn etcd_is_back(etcd: &Etcd) {
    for _ in 0..100 {
        if etcd.health().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd does not come back");
}
