//! Components that are dead, or started though they run.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::eventually;
use skep_tests::{holdings, leftovers};

use crate::workload::{deploy, pods};

/// `up` on a healthy cluster does nothing.
pub(crate) fn up_again(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "again", 3)?;
    let state = || -> anyhow::Result<_> {
        let nodes = cluster.get(&[
            "get",
            "nodes",
            "-o",
            "custom-columns=:.metadata.uid,:.spec.podCIDRs,:.status.nodeInfo.bootID",
        ])?;
        // Pods of earlier cases may still be leaving.
        let of_pod = |thing: &String| {
            ["/kubelet/pods/", "/io.containerd", "containerd-shim"].iter().any(|of| thing.contains(of))
        };
        let things: Vec<String> = leftovers::of(cluster.name()).into_iter().filter(|thing| !of_pod(thing)).collect();
        Ok((things, (nodes, holdings::pods(cluster, "app=again")?, files(cluster.name())?)))
    };
    let before = state()?;
    let said = cluster.start()?;
    let after = state()?;
    let changed: Vec<_> = before.0.iter().filter(|thing| !after.0.contains(thing)).collect();
    let new: Vec<_> = after.0.iter().filter(|thing| !before.0.contains(thing)).collect();
    ensure!(changed.is_empty() && new.is_empty(), "{changed:?} became {new:?}; up said:\n{said}");
    ensure!(after.1 == before.1, "it was {:?} and is {:?}; up said:\n{said}", before.1, after.1);
    Ok(())
}

/// What `up` writes of each cluster, with the time of its last change.
fn files(cluster: &str) -> anyhow::Result<Vec<(PathBuf, SystemTime)>> {
    let root = Path::new("/var/lib/skep/clusters").join(cluster);
    let mut found = Vec::new();
    for node in std::fs::read_dir(root.join("nodes"))? {
        let node = node?.path();
        for file in
            ["ca.crt", "containerd.toml", "kubelet.kubeconfig", "agent.kubeconfig", "kubelet.key", "cni/bin/skep-cni"]
        {
            let file = node.join(file);
            let changed = file.metadata().and_then(|m| m.modified()).with_context(|| file.display().to_string())?;
            found.push((file, changed));
        }
    }
    Ok(found)
}

pub(crate) fn views_without_agent(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "viewed", 2)?;
    let node = cluster.nodes().next().context("a node")?;
    let whole = || -> anyhow::Result<()> {
        let said = cluster.service_view(&node, "default/viewed")?.to_string();
        for (pod, ..) in pods(cluster, "viewed")? {
            ensure!(said.contains(&pod), "no {pod} in {said}");
        }
        Ok(())
    };
    eventually(Duration::from_secs(10), whole)?;
    cluster.kill("agent", Some(&node))?;
    let dead = whole().context("with the agent dead");
    cluster.start()?;
    dead
}
