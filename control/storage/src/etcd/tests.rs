#![expect(clippy::disallowed_methods, reason = "the tests run a real etcd")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures::StreamExt as _;

use super::*;
use crate::conformance::CASES;
use crate::store::{Event, Txn, WatchItem};

/// An etcd of our own; ended with the test.
struct Server {
    child: Child,
    directory: tempfile::TempDir,
    client: u16,
    peer: u16,
}

impl Server {
    fn start() -> Option<Self> {
        if std::env::var_os("SKEP_TEST_ROOT").is_none() {
            eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
            return None;
        }
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (client, peer) = (free(), free());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (client, peer) = (port(&client), port(&peer));
        let directory = tempfile::tempdir().unwrap();
        Some(Self { child: Self::spawn(directory.path(), client, peer), directory, client, peer })
    }

    fn spawn(directory: &Path, client: u16, peer: u16) -> Child {
        let client = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        Command::new("etcd")
            .args(["--name=test", "--logger=zap", "--log-level=error"])
            .arg(format!("--data-dir={}", directory.join("etcd").display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=test={peer}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start etcd")
    }

    /// Kills it without warning and starts it on the same data.
    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.directory.path(), self.client, self.peer);
    }

    async fn connect(&self) -> Arc<Etcd> {
        let mut options = Options::new(vec![format!("http://127.0.0.1:{}", self.client)]);
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
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
    let Some(server) = Server::start() else { return };
    let etcd = server.connect().await;
    for case in CASES {
        eprintln!("{}", case.name);
        case.run(Arc::clone(&etcd) as Arc<dyn Store>).await;
    }
}

/// etcd issue 15271: after a broken connection a watch goes on exactly where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_survives_a_restart_without_gap_or_repetition() {
    let Some(mut server) = Server::start() else { return };
    let etcd = server.connect().await;
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
