//! Pods placed by the real scheduler through the real server: created as quickly as it takes them, counted as watchers see them bound.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::figure::{Goal, Report, median, quantile};
use crate::objects;

const PODS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// Enough ranges for all nodes.
const CLUSTER_CIDR: [&str; 2] = ["--cluster-cidr", "10.128.0.0/9,fd00:10::/48"];

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let small = Run::with_nodes(100)?;
    report.add("scheduling through the server, 100 nodes", small.rate, "pods/s", Goal::None);
    report.add("memory for 100 nodes and 10 k pods", small.memory, "MiB", Goal::AtMost(250.0));
    let large = Run::with_nodes(5000)?;
    report.add("scheduling through the server, 5000 nodes", large.rate, "pods/s", Goal::AtLeast(20_000.0));
    report.add("server's processor time per pod, 5000 nodes", large.processor_micros, "µs", Goal::None);
    report.add("pod created → bound, 5000 nodes, p50", median(large.latencies.clone()), "ms", Goal::None);
    report.add("pod created → bound, 5000 nodes, p99", quantile(large.latencies, 0.99), "ms", Goal::None);
    Ok(())
}

/// All pods placed in a cluster of its own.
struct Run {
    rate: f64,
    /// What the server used per pod, from its creation to its binding: controllers and scheduler are in the same process.
    processor_micros: f64,
    /// Milliseconds from a pod's creation to its binding, as one watcher sees both.
    latencies: Vec<f64>,
    memory: f64,
}

impl Run {
    fn with_nodes(nodes: usize) -> anyhow::Result<Self> {
        let plane = ControlPlane::start(&CLUSTER_CIDR)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (took, used, latencies) = runtime.block_on(async {
            let connections = [plane.connect().await?, plane.connect().await?, plane.connect().await?];
            objects::create(&connections, "/api/v1/nodes", 0..nodes, node).await?;
            let end = Instant::now() + PATIENCE;
            while connections[0].get("/api/v1/nodes").await?.contains("node.kubernetes.io/not-ready") {
                ensure!(Instant::now() < end, "nodes are tainted for ever");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let watch = connections[0].send("GET", "/api/v1/pods?watch=1", Bytes::new()).await?;
            let seen = tokio::spawn(tokio::time::timeout(PATIENCE, bound(watch)));
            let (begin, before) = (Instant::now(), plane.processor_seconds()?);
            objects::create(&connections[1..], "/api/v1/namespaces/default/pods", 0..PODS, pod).await?;
            let (last, latencies) = seen.await?.context("pods are not bound")??;
            anyhow::Ok((last - begin, plane.processor_seconds()? - before, latencies))
        })?;
        // What placing them allocated has been given back.
        std::thread::sleep(Duration::from_secs(15));
        #[expect(clippy::cast_precision_loss, reason = "a count of pods")]
        let pods = PODS as f64;
        let memory = crate::process::pss(&plane.pid())?;
        Ok(Self { rate: pods / took.as_secs_f64(), processor_micros: used * 1e6 / pods, latencies, memory })
    }
}

/// Reads a watch of pods until all are bound: when the last one was, and how long each took.
async fn bound(mut watch: Incoming) -> anyhow::Result<(Instant, Vec<f64>)> {
    let (mut created, mut latencies, mut rest) = (HashMap::new(), Vec::new(), Vec::new());
    while let Some(frame) = watch.frame().await {
        rest.extend_from_slice(frame?.data_ref().map_or(&[], |data| data));
        let now = Instant::now();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let mut event: Value = serde_json::from_slice(&line)?;
            let pod = event["object"].take();
            let name = pod["metadata"]["name"].as_str().context("a pod without a name")?.to_owned();
            if pod["spec"]["nodeName"].is_null() {
                created.entry(name).or_insert(now);
            } else if let Some(created) = created.remove(&name) {
                latencies.push((now - created).as_secs_f64() * 1000.0);
                if latencies.len() == PODS {
                    return Ok((now, latencies));
                }
            }
        }
    }
    bail!("the watch ended after {} pods", latencies.len())
}

fn node(number: usize) -> String {
    let resources = r#"{"cpu":"32","memory":"256Gi","pods":"110"}"#;
    let zone = number % 10;
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"node-{number}","labels":{{"kubernetes.io/hostname":"node-{number}","topology.kubernetes.io/zone":"zone-{zone}"}}}},"status":{{"capacity":{resources},"allocatable":{resources},"conditions":[{{"type":"Ready","status":"True","reason":"KubeletReady"}}]}}}}"#
    )
}

fn pod(number: usize) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number}","labels":{{"app":"web"}}}},"spec":{{"containers":[{{"name":"main","image":"example.org/web:1","resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}}}}}}]}}}}"#
    )
}
