//! `skep server` alone, on a free port with a directory of its own. From the benches; ended and removed when dropped.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use skep_tests::machine;

use crate::connection::Connection;

/// A running `skep server`.
pub(crate) struct ControlPlane {
    process: Child,
    directory: PathBuf,
    started_after: Duration,
}

impl ControlPlane {
    /// Starts it and waits for /readyz.
    pub(crate) fn start(extra: &[&str]) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("skep-bench-{}", machine::random_name("")));
        std::fs::create_dir_all(&directory)?;
        let log = std::fs::File::create(directory.join("log"))?;
        let begin = Instant::now();
        let process = Command::new(machine::binary("skep")?)
            .args(["server", "--bind", "127.0.0.1:0", "--data-dir"])
            .arg(directory.join("data"))
            .arg("--write-kubeconfig")
            .arg(directory.join("kubeconfig"))
            .args(extra)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start skep server")?;
        let mut plane = Self { process, directory, started_after: Duration::ZERO };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ready = runtime.block_on(async {
            let end = begin + Duration::from_secs(30);
            loop {
                if let Ok(connection) = plane.connect().await
                    && connection.get("/readyz").await.is_ok_and(|text| text == "ok")
                {
                    return anyhow::Ok(());
                }
                if Instant::now() > end {
                    bail!("not ready: {}", std::fs::read_to_string(plane.directory.join("log")).unwrap_or_default());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        plane.started_after = begin.elapsed();
        ready.map(|()| plane)
    }

    /// From the start of the process until it said to be ready.
    pub(crate) fn started_after(&self) -> Duration {
        self.started_after
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> String {
        self.process.id().to_string()
    }

    /// Seconds of processor time it has used.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields = stat.rsplit_once(')').context("no stat")?.1.split_whitespace();
        // user and system time are fields 14 and 15; the ones after the name begin with field 3
        let ticks: u64 = fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10).as_secs_f64())
    }

    /// A new HTTP/2 connection as the administrator.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let document = Kubeconfig::read_from(self.directory.join("kubeconfig"))?;
        let config = kube::Config::from_custom_kubeconfig(document, &KubeConfigOptions::default()).await?;
        let address = config.cluster_url.authority().context("no address of the server")?.to_string();
        Connection::open(&address, Arc::new(config.rustls_client_config()?)).await
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("end the server: {error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}
