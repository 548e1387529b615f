//! An etcd of a test's own. For the tests of the engine here, and by path for those of the API server.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ended with the test.
pub(crate) struct Process {
    child: Child,
    directory: tempfile::TempDir,
    client: u16,
    peer: u16,
}

impl Process {
    /// None, said why, where tests may not start other programs.
    pub(crate) fn start() -> Option<Self> {
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

    /// Where it serves clients.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
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
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.directory.path(), self.client, self.peer);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
