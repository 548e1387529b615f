//! A control plane alone, as `skep server` runs it without root: no nodes, embedded storage, a free port, a directory of its own.

use std::fs::File;
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
    /// Starts one; it is not ready yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(options: &[&str]) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(machine::random_name("skep-server-"));
        std::fs::create_dir_all(&directory)?;
        let log = File::create(directory.join("log"))?;
        let child = Command::new(machine::binary("skep")?)
            .args(["server", "--bind", "127.0.0.1:0", "--data-dir"])
            .arg(directory.join("data"))
            .arg("--write-kubeconfig")
            .arg(directory.join("kubeconfig"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start skep server")?;
        Ok(Self { directory, child })
    }

    /// Starts one and waits until it and its controllers work.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready; its log is in the error.
    pub fn up() -> anyhow::Result<Self> {
        let server = Self::start(&["--service-cidr", "10.96.0.0/16"])?;
        machine::eventually(Duration::from_secs(30), || {
            machine::output(&mut server.kubectl(&["get", "serviceaccount", "default", "-n", "default"]))
        })
        .with_context(|| server.log())?;
        Ok(server)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The administrator's kubeconfig, written when the server answers.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Real kubectl, as administrator.
    #[must_use]
    pub fn kubectl(&self, args: &[&str]) -> Command {
        machine::kubectl(&self.kubeconfig(), args)
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
