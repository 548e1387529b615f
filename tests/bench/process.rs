//! Cold start, and what each process of an idle cluster holds in memory (proportional set size).

use std::time::Duration;

use anyhow::Context as _;
use skep_tests::cluster::Cluster;

use crate::control_plane::ControlPlane;
use crate::figure::{Goal, Report, median};

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(ControlPlane::start(&[])?.started_after().as_secs_f64());
    }
    report.add("cold start to /readyz, keys and default objects made", median(starts), "s", Goal::AtMost(0.5));
    let alone = ControlPlane::start(&[])?;
    std::thread::sleep(Duration::from_secs(15));
    report.add("idle memory: server without a cluster", pss(&alone.pid())?, "MiB", Goal::AtMost(32.0));
    drop(alone);
    idle_memory(report)
}

fn idle_memory(report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::up(1)?;
    let node = cluster.nodes().next().context("a node")?;
    // Idle means: what starting allocated has been given back.
    std::thread::sleep(Duration::from_secs(15));
    let held = |component: &str, node: Option<&str>| pss(&cluster.pid(component, node)?);
    let server = held("server", None)?;
    let (kubelet, agent) = (held("kubelet", Some(&node))?, held("agent", Some(&node))?);
    let supervisor = held("supervisor", None)?;
    report.add("idle memory: supervisor", supervisor, "MiB", Goal::None);
    report.add("idle memory: server", server, "MiB", Goal::None);
    report.add("idle memory: kubelet", kubelet, "MiB", Goal::None);
    report.add("idle memory: agent", agent, "MiB", Goal::AtMost(20.0));
    let all = supervisor + server + kubelet + agent;
    report.add("idle memory: single-node cluster", all, "MiB", Goal::AtMost(64.0));
    Ok(())
}

/// Proportional set size of a process in MiB.
pub(crate) fn pss(pid: &str) -> anyhow::Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("look at process {pid}"))?;
    let kib = rollup
        .lines()
        .find_map(|l| l.strip_prefix("Pss:"))
        .and_then(|l| l.split_whitespace().next())
        .context("no Pss")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
