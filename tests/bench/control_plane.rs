//! `skep server` alone, started and asked as quickly as it goes. From the benches.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use skep_tests::server::Server;

use crate::connection::Connection;

/// A running `skep server`.
pub(crate) struct ControlPlane {
    server: Server,
    started_after: Duration,
}

impl ControlPlane {
    /// Starts it and waits for /readyz.
    pub(crate) fn start(options: &[&str]) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let mut plane = Self { server: Server::start(options)?, started_after: Duration::ZERO };
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
                    bail!("not ready: {}", plane.server.log());
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
        self.server.pid()
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
        Connection::of(&self.server.kubeconfig()).await
    }

    /// Some of them, for many requests at once: one would be busy on one processor.
    pub(crate) async fn connections(&self) -> anyhow::Result<[Connection; 4]> {
        Ok([self.connect().await?, self.connect().await?, self.connect().await?, self.connect().await?])
    }
}
