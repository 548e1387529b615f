//! Lists of very many objects: what a selector that matches nothing costs, and how long and how large all pods are.

use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;

use crate::control_plane::ControlPlane;
use crate::figure::{Goal, Report, median};
use crate::objects;

const MAPS: usize = 300_000;
const PODS: usize = 150_000;

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let plane = ControlPlane::start(&[])?;
    runtime.block_on(async {
        let data = "x".repeat(700);
        let path = "/api/v1/namespaces/default/configmaps";
        let connections = plane.connections().await?;
        let took = objects::create(&connections, path, 0..MAPS, move |number| {
            format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"map-{number}","labels":{{"app":"web","number":"{number}"}}}},"data":{{"value":"{data}"}}}}"#
            )
        })
        .await?;
        report.add("creating 300 k 1-KB objects", took.as_secs_f64(), "s", Goal::None);
        let mut times = Vec::new();
        for _ in 0..50 {
            let start = Instant::now();
            connections[0].call("GET", &format!("{path}?labelSelector=app%3Dnone"), Bytes::new()).await?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        report.add("LIST of 300 k 1-KB objects, selector matches none, p50", median(times), "ms", Goal::AtMost(20.0));
        report.add("memory with them", crate::process::pss(&plane.pid())?, "MiB", Goal::None);
        anyhow::Ok(())
    })?;
    drop(plane);
    let plane = ControlPlane::start(&[])?;
    runtime.block_on(async {
        let path = "/api/v1/namespaces/default/pods";
        let connections = plane.connections().await?;
        objects::create(&connections, path, 0..PODS, |number| {
            // a scheduler that does not exist: only the list is measured
            format!(
                r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number}","labels":{{"app":"web"}}}},"spec":{{"schedulerName":"none","containers":[{{"name":"main","image":"example.org/web:1","resources":{{"requests":{{"cpu":"100m","memory":"64Mi"}}}}}}]}}}}"#
            )
        })
        .await?;
        report.add("memory with 150 k pods", crate::process::pss(&plane.pid())?, "MiB", Goal::None);
        let mut times = Vec::new();
        let (mut extra, mut bytes) = (0.0_f64, 0);
        for _ in 0..5 {
            std::fs::write(format!("/proc/{}/clear_refs", plane.pid()), "5").context("reset the memory's peak")?;
            let before = memory(&plane, "VmRSS")?;
            let start = Instant::now();
            bytes = connections[0].call("GET", "/api/v1/pods", Bytes::new()).await?;
            times.push(start.elapsed().as_secs_f64());
            extra = extra.max(memory(&plane, "VmHWM")? - before);
        }
        report.add("LIST of 150 k pods", median(times), "s", Goal::AtMost(1.5));
        report.add("memory taken by the list", extra, "MiB", Goal::AtMost(64.0));
        #[expect(clippy::cast_precision_loss, reason = "a size for people")]
        report.add("size of the list", bytes as f64 / 1e6, "MB", Goal::None);
        anyhow::Ok(())
    })
}

/// A line of the process's status, in MiB.
fn memory(plane: &ControlPlane, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", plane.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).context("no such line")?;
    let kib: f64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib / 1024.0)
}
