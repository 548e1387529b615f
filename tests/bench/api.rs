//! The API server alone: durable writes through HTTPS, and the time from a write to the watchers.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, Config};
use skep_tests::machine;

use crate::figure::{Goal, Report, median, quantile};

/// `skep server` on a free port with a directory of its own; ended and removed when dropped.
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
                if let Ok(client) = plane.client().await {
                    let request = http::Request::get("/readyz").body(Vec::new())?;
                    if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                        return anyhow::Ok(());
                    }
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

    pub(crate) fn started_after(&self) -> Duration {
        self.started_after
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let document = kube::config::Kubeconfig::read_from(self.directory.join("kubeconfig"))?;
        Ok(Client::try_from(
            Config::from_custom_kubeconfig(document, &kube::config::KubeConfigOptions::default()).await?,
        )?)
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

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let plane = ControlPlane::start(&[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (rate, latencies) = updates(&plane, 128, Duration::from_secs(8)).await?;
        report.add("durable object updates through HTTPS", rate, "1/s", Goal::AtLeast(20_000.0));
        report.add("update latency at full load, p99", quantile(latencies, 0.99), "ms", Goal::None);
        let (_, latencies) = updates(&plane, 4, Duration::from_secs(4)).await?;
        report.add("update latency at light load, p50", median(latencies.clone()), "ms", Goal::None);
        report.add("update latency at light load, p99", quantile(latencies, 0.99), "ms", Goal::AtMost(5.0));
        let latencies = watch_latency(&plane, 1000, 100).await?;
        report.add("write → watch event, 1000 watchers, p50", median(latencies.clone()), "ms", Goal::None);
        report.add("write → watch event, 1000 watchers, p99", quantile(latencies, 0.99), "ms", Goal::AtMost(2.0));
        anyhow::Ok(())
    })?;
    report.add("memory after that", crate::process::pss(&plane.process.id().to_string())?, "MiB", Goal::None);
    Ok(())
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
        data: Some([("value".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

/// Each writer replaces its own object again and again, eight writers to a connection.
async fn updates(plane: &ControlPlane, writers: usize, length: Duration) -> anyhow::Result<(f64, Vec<f64>)> {
    let mut clients = Vec::new();
    for _ in 0..writers.div_ceil(8) {
        clients.push(plane.client().await?);
    }
    let begin = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|number| {
            let api = Api::<ConfigMap>::namespaced(clients[number % clients.len()].clone(), "default");
            tokio::spawn(async move {
                let name = format!("writer-{number}");
                let parameters = PostParams::default();
                if api.get_opt(&name).await?.is_none() {
                    api.create(&parameters, &config_map(&name, "")).await?;
                }
                let mut took = Vec::new();
                while begin.elapsed() < length {
                    let start = Instant::now();
                    api.replace(&name, &parameters, &config_map(&name, &took.len().to_string())).await?;
                    took.push(start.elapsed().as_secs_f64() * 1000.0);
                }
                anyhow::Ok(took)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = all.len() as f64 / begin.elapsed().as_secs_f64();
    Ok((rate, all))
}

/// From just before a write is sent until each watcher has its event.
async fn watch_latency(plane: &ControlPlane, watchers: usize, writes: usize) -> anyhow::Result<Vec<f64>> {
    let writer = Api::<ConfigMap>::namespaced(plane.client().await?, "default");
    writer.create(&PostParams::default(), &config_map("watched", "")).await?;
    let version = writer.get("watched").await?.metadata.resource_version.unwrap_or_default();
    let sent = Arc::new(Mutex::new(vec![None::<Instant>; writes]));
    let mut clients = Vec::new();
    for _ in 0..watchers.div_ceil(50) {
        clients.push(plane.client().await?);
    }
    let mut tasks = Vec::new();
    for number in 0..watchers {
        let api = Api::<ConfigMap>::namespaced(clients[number % clients.len()].clone(), "default");
        let mut events = api.watch(&WatchParams::default().fields("metadata.name=watched"), &version).await?.boxed();
        let sent = Arc::clone(&sent);
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while took.len() < writes {
                let Some(event) = events.try_next().await? else { bail!("a watch ended") };
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
                let index: usize =
                    object.data.and_then(|d| d.get("value")?.parse().ok()).context("an event without a number")?;
                let start = sent
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(index)
                    .copied()
                    .flatten()
                    .context("an event of no write")?;
                took.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok(took)
        }));
    }
    for number in 0..writes {
        if let Some(slot) = sent.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
            *slot = Some(Instant::now());
        }
        writer.replace("watched", &PostParams::default(), &config_map("watched", &number.to_string())).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}
