//! The API server alone: durable writes through HTTPS, and the time from a write to the watchers.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::control_plane::ControlPlane;
use crate::figure::{Goal, Report, median, quantile};

/// Connections that writers share: the client's processor time is taken from the server's on a small machine.
const CONNECTIONS: usize = 4;
const WRITERS: usize = 256;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let syncs = disk_syncs(&std::env::temp_dir())?;
    report.add("disk: one write of 4 KiB and its sync, p50", median(syncs.clone()), "ms", Goal::None);
    report.add("disk: one write of 4 KiB and its sync, p99", quantile(syncs, 0.99), "ms", Goal::None);
    let plane = ControlPlane::start(&[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let before = plane.processor_seconds()?;
        let full = updates(&plane, WRITERS, None, Duration::from_secs(8)).await?;
        let used = plane.processor_seconds()? - before;
        report.add("durable object updates through HTTPS", full.rate(), "1/s", Goal::AtLeast(20_000.0));
        report.add("server's processor time per update", used * 1e6 / full.count(), "µs", Goal::None);
        report.add("update latency at full load, p50", median(full.latencies.clone()), "ms", Goal::None);
        report.add("update latency at full load, p99", quantile(full.latencies.clone(), 0.99), "ms", Goal::None);
        let pace = Duration::from_secs_f64(2.0 * WRITERS as f64 / full.rate());
        let half = updates(&plane, WRITERS, Some(pace), Duration::from_secs(6)).await?;
        report.add("update latency at half load, p50", median(half.latencies.clone()), "ms", Goal::None);
        report.add("update latency at half load, p99", quantile(half.latencies, 0.99), "ms", Goal::AtMost(5.0));
        let alone = updates(&plane, 1, None, Duration::from_secs(2)).await?;
        report.add("update latency, one writer, p50", median(alone.latencies), "ms", Goal::None);
        let latencies = watch_latency(&plane, 1000, 100).await?;
        report.add("write → watch event, 1000 watchers, p50", median(latencies.clone()), "ms", Goal::None);
        report.add("write → watch event, 1000 watchers, p99", quantile(latencies, 0.99), "ms", Goal::AtMost(2.0));
        anyhow::Ok(())
    })?;
    report.add("memory after that", crate::process::pss(&plane.pid())?, "MiB", Goal::None);
    Ok(())
}

/// What the disk needs to make a write durable: no durable update can be faster.
fn disk_syncs(directory: &Path) -> anyhow::Result<Vec<f64>> {
    let path = directory.join(skep_tests::machine::random_name("skep-bench-disk-"));
    let mut file = File::create(&path)?;
    let times = (0..300)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
            Ok(start.elapsed().as_secs_f64() * 1000.0)
        })
        .collect::<anyhow::Result<_>>();
    std::fs::remove_file(&path)?;
    times
}

/// What writers saw.
struct Updates {
    /// Milliseconds of each update.
    latencies: Vec<f64>,
    took: Duration,
}

impl Updates {
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    fn count(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn rate(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }
}

/// The map of this name with a number for a value.
pub(crate) fn config_map(name: &str, value: usize) -> Bytes {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"value":"number {value};"}}}}"#
    )
    .into()
}

/// Each writer replaces its own object again and again; with `pace`, once in that time.
async fn updates(
    plane: &ControlPlane,
    writers: usize,
    pace: Option<Duration>,
    length: Duration,
) -> anyhow::Result<Updates> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS.min(writers) {
        connections.push(plane.connect().await?);
    }
    let existing = connections.first().context("no connection")?.get(MAPS).await?;
    for number in 0..writers {
        let name = format!("writer-{number}");
        if !existing.contains(&format!("\"{name}\"")) {
            connections[number % connections.len()].call("POST", MAPS, config_map(&name, 0)).await?;
        }
    }
    let begin = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|number| {
            let connection = connections[number % connections.len()].clone();
            tokio::spawn(async move {
                let name = format!("writer-{number}");
                let path = format!("{MAPS}/{name}");
                let mut took = Vec::new();
                // Paced writers begin one after the other, so that their load is even.
                let first = pace.map_or(Duration::ZERO, |pace| pace.mul_f64(number as f64 / writers as f64));
                let mut beat = pace.map(|pace| tokio::time::interval_at((begin + first).into(), pace));
                while begin.elapsed() < length {
                    if let Some(beat) = &mut beat {
                        beat.tick().await;
                    }
                    let start = Instant::now();
                    connection.call("PUT", &path, config_map(&name, took.len())).await?;
                    took.push(start.elapsed().as_secs_f64() * 1000.0);
                }
                anyhow::Ok(took)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(Updates { latencies, took: begin.elapsed() })
}

/// From just before a write is sent until each watcher has its event.
async fn watch_latency(plane: &ControlPlane, watchers: usize, writes: usize) -> anyhow::Result<Vec<f64>> {
    let writer = plane.connect().await?;
    writer.call("POST", MAPS, config_map("watched", writes)).await?;
    let sent = Arc::new(Mutex::new(vec![None::<Instant>; writes]));
    let mut connections = Vec::new();
    for _ in 0..watchers.div_ceil(200) {
        connections.push(plane.connect().await?);
    }
    let path = "/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dwatched";
    let mut tasks = Vec::new();
    for number in 0..watchers {
        let mut body = connections[number % connections.len()].send("GET", path, Bytes::new()).await?;
        let sent = Arc::clone(&sent);
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while took.len() < writes {
                let frame = body.frame().await.context("a watch ended")??;
                let now = Instant::now();
                let text = String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data));
                for part in text.split("\"number ").skip(1) {
                    let number: usize = part.split(';').next().unwrap_or_default().parse()?;
                    // the first state carries a number that is never written
                    let start = sent.lock().unwrap_or_else(PoisonError::into_inner).get(number).copied().flatten();
                    took.extend(start.map(|start| (now - start).as_secs_f64() * 1000.0));
                }
            }
            anyhow::Ok(took)
        }));
    }
    for number in 0..writes {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Some(slot) = sent.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
            *slot = Some(Instant::now());
        }
        writer.call("PUT", &format!("{MAPS}/watched"), config_map("watched", number)).await?;
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}
