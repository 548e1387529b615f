//! Traffic that goes on while something happens to the programs: connections made all the time and connections kept, by
//! packets and by sockets. From [`crate::client`]; to how many there were and what failed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    client::{Call, process_in},
    fixture::{Node, enter},
};

/// What a client keeps doing.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// New connections and datagrams, whose clients see the address they dialled.
    New,
    /// New connections and datagrams, whatever address their clients see.
    Nameless,
    /// One connection that says something and hears it back.
    Kept,
}

/// Clients at work until they are asked.
pub(crate) struct Traffic {
    directory: tempfile::TempDir,
    clients: Vec<JoinHandle<String>>,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clients: Vec::new() }
    }

    /// Its end is a file, which a process sees as well.
    fn end(&self) -> PathBuf {
        self.directory.path().join("end")
    }

    /// From a namespace, past the socket hooks.
    pub(crate) fn by_packets(&mut self, namespace: &str, to: SocketAddr) {
        for work in [Work::New, Work::Kept] {
            let (namespace, end) = (namespace.to_owned(), self.end());
            self.clients.push(thread::spawn(move || {
                enter(&namespace);
                work.until(&end, to)
            }));
        }
    }

    /// From a namespace, in the node's cgroup.
    pub(crate) fn by_sockets(&mut self, node: &Node, namespace: &str, to: SocketAddr) {
        self.by_sockets_with(Work::New, node, namespace, to);
    }

    /// The same while sockets may forget what they dialled.
    pub(crate) fn by_forgetful_sockets(&mut self, node: &Node, namespace: &str, to: SocketAddr) {
        self.by_sockets_with(Work::Nameless, node, namespace, to);
    }

    fn by_sockets_with(&mut self, new: Work, node: &Node, namespace: &str, to: SocketAddr) {
        for work in [new, Work::Kept] {
            let (namespace, end) = (namespace.to_owned(), self.end());
            let cgroup = node.cgroup.clone();
            self.clients.push(thread::spawn(move || {
                let order = format!("{work:?} {to} {}", end.display());
                process_in(Some(&cgroup), &namespace, "traffic::process", "SKEP_TEST_TRAFFIC", &order)
            }));
        }
    }

    /// Waits until every client has been at work for a while, so that what comes next meets all of them.
    pub(crate) fn warm_up(&self) {
        thread::sleep(Duration::from_millis(500));
    }

    /// Ends it; fails when anything failed, or a client did nothing.
    pub(crate) fn check(self, drops: impl Fn() -> String) {
        fs::write(self.end(), "").unwrap();
        let answers: Vec<String> = self.clients.into_iter().map(|client| client.join().unwrap()).collect();
        println!("{answers:?}");
        for answer in &answers {
            let (done, failed) = answer.split_once(" done, failed: ").unwrap_or_else(|| panic!("{answer}"));
            assert!(failed.is_empty(), "{answers:?} {}", drops());
            assert_ne!(done, "0", "{answers:?} {}", drops());
        }
    }
}

impl Work {
    fn until(self, end: &Path, to: SocketAddr) -> String {
        let (mut done, mut failed) = (0_u32, String::new());
        let mut kept = None;
        while !end.exists() {
            let since = Instant::now();
            let result = match self {
                Self::New => new(to, &to.to_string()),
                Self::Nameless => new(to, ""),
                Self::Kept => keep(&mut kept, to),
            };
            match result {
                Ok(()) => done += 1,
                Err(error) if failed.len() < 500 => failed += &format!("{error} after {:?}; ", since.elapsed()),
                Err(_) => {}
            }
        }
        format!("{done} done, failed: {failed}")
    }
}

fn new(to: SocketAddr, seen: &str) -> Result<(), String> {
    for call in [Call::Tcp(to), Call::UdpSendTo(to)] {
        let answer = call.make();
        if answer.starts_with("error") || !answer.ends_with(seen) {
            return Err(format!("{call:?}: {answer}"));
        }
    }
    // As fast as it can would use up the ports of the namespace.
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

fn keep(kept: &mut Option<BufReader<TcpStream>>, to: SocketAddr) -> Result<(), String> {
    let said = |error: std::io::Error| format!("kept connection: {error}");
    let stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).map_err(said)?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(said)?;
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut String::new()).map_err(said)?;
            kept.insert(stream)
        }
    };
    stream.get_mut().write_all(b"hello").map_err(said)?;
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).map_err(said)?;
    if &heard == b"hello" { Ok(()) } else { Err("kept connection: corrupted".to_owned()) }
}

/// Not a test: what [`Traffic::by_sockets`] runs.
#[test]
fn process() {
    if let Ok(order) = std::env::var("SKEP_TEST_TRAFFIC") {
        let mut words = order.splitn(3, ' ');
        let work = match words.next() {
            Some("New") => Work::New,
            Some("Nameless") => Work::Nameless,
            _ => Work::Kept,
        };
        let to = words.next().unwrap().parse().unwrap();
        println!("answer: {}", work.until(Path::new(words.next().unwrap()), to));
    }
}
