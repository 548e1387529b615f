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
    cluster.kill("supervisor", None)?;
    cluster.kill("agent", Some(&node))?;
    let dead = whole().context("with the agent dead");
    cluster.start()?;
    dead
}

/// What was killed runs again, with the same words; nobody called `up`.
pub(crate) fn back_without_up(cluster: &Cluster) -> anyhow::Result<()> {
    let words = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).with_context(|| format!("process {pid}"));
    let node = cluster.nodes().next().context("a node")?;
    let of_node = ["containerd", "kubelet", "agent"].map(|component| (component, Some(node.as_str())));
    for (component, node) in of_node.into_iter().chain([("server", None)]) {
        let before = words(cluster.process(component, node)?.with_context(|| format!("{component} does not run"))?)?;
        let killed = cluster.kill(component, node)?;
        let back = cluster.comes_back(component, node)?;
        // Started as ourselves, in its cgroup and namespace it becomes what it was.
        eventually(Duration::from_secs(10), || {
            let now = words(back)?;
            ensure!(killed != back && now == before, "{component} is {:?}", String::from_utf8_lossy(&now));
            Ok(())
        })?;
    }
    eventually(Duration::from_secs(30), || cluster.get(&["get", "--raw", "/readyz"]))?;
    cluster.get(&["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s"])?;
    deploy(cluster, "after", 2)?;
    cluster.get(&["delete", "deployment,service", "after"])?;
    let alone = cluster.kill("supervisor", None)?;
    cluster.start()?;
    ensure!(cluster.process("supervisor", None)?.is_some_and(|pid| pid != alone), "up starts no supervisor");
    Ok(())
}

/// Who else writes the status of a pod, as the node life cycle does when a node is lost, does not have the last word while the kubelet lives.
pub(crate) fn status_written_over(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "judged", 1)?;
    let (pod, ..) = pods(cluster, "judged")?.into_iter().next().context("a pod")?;
    let lie = r#"{"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#;
    cluster.get(&["patch", "pod", &pod, "--subresource=status", "--type=strategic", "-p", lie])?;
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    eventually(Duration::from_secs(20), || {
        let said = cluster.get(&["get", "pod", &pod, "-o", ready])?;
        ensure!(said == "True", "the pod is ready, and its status says {said}");
        Ok(())
    })?;
    cluster.get(&["delete", "deployment,service", "judged"]).map(drop)
}
