//! A control plane alone, as `skep server` runs it without root: no nodes, embedded storage, a directory of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::machine;

/// A running server; ended and removed when dropped.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    child: Child,
}

impl Server {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready; its log is in the error.
    pub fn up() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(machine::random_name("skep-server-"));
        std::fs::create_dir_all(&directory)?;
        let log = File::create(directory.join("log"))?;
        // Free now; another program could take it only in the blink until the server does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = Command::new(machine::binary("skep")?)
            .args(["server", "--bind", &address, "--service-cidr", "10.96.0.0/16", "--data-dir"])
            .arg(directory.join("data"))
            .arg("--write-kubeconfig")
            .arg(directory.join("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start skep server")?;
        let server = Self { directory, child };
        machine::eventually(Duration::from_secs(30), || {
            machine::output(&mut server.kubectl(&["get", "serviceaccount", "default", "-n", "default"]))
        })
        .with_context(|| server.log())?;
        Ok(server)
    }

    /// Real kubectl, as administrator.
    #[must_use]
    pub fn kubectl(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.directory.join("kubeconfig")).args(args);
        command
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        let removed = std::fs::remove_dir_all(&self.directory);
        if let Err(error) = ended.and(removed) {
            eprintln!("the server was not removed: {error}");
        }
    }
}
