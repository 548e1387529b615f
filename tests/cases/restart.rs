//! Components die at any moment; traffic and pods do not notice.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::{self, eventually};

use crate::workload::{address, deploy, pods};

pub(crate) fn kill_each(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "steady", 3)?;
    let before = pods(cluster, "steady")?;
    let target = format!("{}:80", address(cluster, "steady")?);
    let node = cluster.nodes().next().context("a node")?;
    eventually(Duration::from_secs(10), || cluster.on_node(&node, &["get", &format!("http://{target}")]))?;
    let load = cluster.load(&node, &target, 30)?;
    for component in ["agent", "kubelet", "containerd"] {
        cluster.kill(component, Some(&node)).with_context(|| format!("kill {component}"))?;
        cluster.start().with_context(|| format!("start again after killing {component}"))?;
    }
    cluster.kill("server", None)?;
    cluster.start().context("start again after killing the server")?;
    load.finish().context("requests while components died").map(|said| eprintln!("kills: {}", said.trim()))?;
    eventually(Duration::from_secs(20), || {
        let after = pods(cluster, "steady")?;
        ensure!(after == before, "pods were {before:?} and are {after:?}");
        Ok(())
    })?;
    // The cluster still works: a new pod comes up and is served.
    cluster.get(&["scale", "--replicas=4", "deployment/steady"])?;
    cluster.get(&["rollout", "status", "deployment/steady", "--timeout=60s"]).map(drop)
}

pub(crate) fn views_without_agent(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "viewed", 2)?;
    let node = cluster.nodes().next().context("a node")?;
    let view = |what: &str| {
        machine::output(cluster.skep()?.args([
            "svc",
            "get",
            "default/viewed",
            "--name",
            cluster.name(),
            "--node",
            &node,
            "-o",
            what,
        ]))
    };
    let whole = || -> anyhow::Result<String> {
        let said = view("json")?;
        for (pod, ..) in pods(cluster, "viewed")? {
            ensure!(said.contains(&pod), "no {pod} in {said}");
        }
        Ok(said)
    };
    eventually(Duration::from_secs(10), whole)?;
    cluster.kill("agent", Some(&node))?;
    let dead = whole().context("with the agent dead");
    cluster.start()?;
    dead.map(drop)
}
