//! What a node holds for its pods: in the kernel, in the runtime, on disk. Equal to what its pods need when nothing leaked and nothing is missing.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::machine;

/// A pod as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The node it is bound to; empty before.
    pub node: String,
    /// All its addresses.
    pub ips: BTreeSet<IpAddr>,
    /// Starts of its containers after the first.
    pub restarts: u64,
    /// Ids of its containers.
    pub containers: BTreeSet<String>,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether its deletion was asked for.
    pub leaving: bool,
}

impl Pod {
    /// Everything that stays the same while nobody touches the pod.
    #[must_use]
    pub fn lasting(&self) -> Self {
        Self { ready: true, ..self.clone() }
    }
}

/// Pods that a selector chooses; all with an empty one.
///
/// # Errors
/// When kubectl fails, or the answer is not what it should be.
pub fn pods(cluster: &Cluster, selector: &str) -> anyhow::Result<Vec<Pod>> {
    let list: Value = serde_json::from_str(&cluster.get(&["get", "pods", "-A", "-l", selector, "-o", "json"])?)?;
    let mut pods: Vec<Pod> = list["items"].as_array().context("a list of pods")?.iter().map(pod).collect();
    pods.sort();
    Ok(pods)
}

fn pod(object: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let containers = array(&status["containerStatuses"]);
    Pod {
        name: text(&metadata["name"]),
        uid: text(&metadata["uid"]),
        node: text(&object["spec"]["nodeName"]),
        ips: array(&status["podIPs"]).iter().filter_map(|ip| ip["ip"].as_str()?.parse().ok()).collect(),
        restarts: containers.iter().filter_map(|c| c["restartCount"].as_u64()).sum(),
        containers: containers.iter().map(|c| text(&c["containerID"])).collect(),
        ready: array(&status["conditions"]).iter().any(|c| c["type"] == "Ready" && c["status"] == "True"),
        leaving: !metadata["deletionTimestamp"].is_null(),
    }
}

/// Fails unless a node holds exactly what `pods`, all of them its own and running, need.
///
/// # Errors
/// With everything that is left over or missing.
pub fn check(cluster: &Cluster, node: &str, pods: &[Pod]) -> anyhow::Result<()> {
    let uids: BTreeSet<String> = pods.iter().map(|pod| pod.uid.clone()).collect();
    let ips: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| pod.ips.clone()).collect();
    let mut wrong = Vec::new();
    let mut count = |what: &str, found: Vec<String>, per_pod: usize| {
        if found.len() != pods.len() * per_pod {
            wrong.push(format!("{} {what} for {} pods: {}", found.len(), pods.len(), found.join(" ")));
        }
    };
    count("pod interfaces", interfaces(node)?, 1);
    count("pinned links", links(node)?, 2);
    count("namespaces", namespaces(node)?, 1);
    count("sandboxes", runtime(cluster, node, &["containers", "ls", "-q", SANDBOXES])?, 1);
    count("running containers", runtime(cluster, node, &["tasks", "ls", "-q"])?, 2);
    count("shims", shims(cluster, node)?, 1);
    let reserved = reservations(&directory(cluster, node).join("cni/state/skep/addresses.journal"))?;
    if reserved != ips {
        wrong.push(format!("reserved addresses {reserved:?}, not {ips:?}"));
    }
    let kept = names(&directory(cluster, node).join("kubelet/pods"))?;
    if kept != uids {
        wrong.push(format!("directories of pods {kept:?}, not {uids:?}"));
    }
    let grouped = cgroups(cluster, node)?;
    if grouped != uids {
        wrong.push(format!("cgroups of pods {grouped:?}, not {uids:?}"));
    }
    ensure!(wrong.is_empty(), "node {node}: {}", wrong.join("; "));
    Ok(())
}

const SANDBOXES: &str = r#"labels."io.cri-containerd.kind"==sandbox"#;

fn directory(cluster: &Cluster, node: &str) -> PathBuf {
    Path::new("/var/lib/skep/clusters").join(cluster.name()).join("nodes").join(node)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn names(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Ends of the pods' veth pairs, by the plugin's names.
fn interfaces(node: &str) -> anyhow::Result<Vec<String>> {
    let namespace = format!("skep-{node}");
    let out = machine::output(Command::new("ip").args(["-n", &namespace, "-o", "link", "show", "type", "veth"]))?;
    let names = out.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next().map(str::to_owned));
    Ok(names.filter(|name| name.starts_with("pod")).collect())
}

fn links(node: &str) -> anyhow::Result<Vec<String>> {
    let pins = Path::new("/sys/fs/bpf").join(format!("skep-{node}"));
    let mut found = Vec::new();
    for layout in names(&pins)? {
        found.extend(names(&pins.join(layout).join("links"))?.into_iter().filter(|name| name.starts_with("pod")));
    }
    Ok(found)
}

/// Network namespaces that the runtime keeps.
fn namespaces(node: &str) -> anyhow::Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let below = format!("/{node}/");
    let paths = mounts.lines().filter(|line| line.contains(" - nsfs ")).filter_map(|line| line.split(' ').nth(4));
    Ok(paths.filter(|path| path.contains(&below)).map(str::to_owned).collect())
}

fn socket(cluster: &Cluster, node: &str) -> String {
    format!("/run/skep/clusters/{}/{node}/containerd.sock", cluster.name())
}

fn runtime(cluster: &Cluster, node: &str, args: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut ctr = Command::new("ctr");
    ctr.args(["--address", &socket(cluster, node), "--namespace", "k8s.io"]).args(args);
    machine::output(&mut ctr).map(|out| lines(&out))
}

/// Shims that have containers. One whose containerd was killed before it asked for the first container stays idle with containerd 1.6, which forgets it.
fn shims(cluster: &Cluster, node: &str) -> anyhow::Result<Vec<String>> {
    let mark = format!("/{}/{node}/", cluster.name());
    let mut found = Vec::new();
    for process in names(Path::new("/proc"))? {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
        if command.contains("containerd-shim") && command.contains(&mark) && !children.trim().is_empty() {
            found.push(format!("process {process}"));
        }
    }
    Ok(found)
}

/// Addresses in use, by replaying the plugin's journal.
fn reservations(journal: &Path) -> anyhow::Result<BTreeSet<IpAddr>> {
    let text = fs::read_to_string(journal).with_context(|| format!("read {}", journal.display()))?;
    let mut taken = std::collections::BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).with_context(|| format!("{}: {line}", journal.display()))?;
        let key = (record["container"].to_string(), record["interface"].to_string());
        match record["op"].as_str() {
            Some("take") => drop(taken.insert(key, record["ips"].clone())),
            Some("free") => drop(taken.remove(&key)),
            _ => {}
        }
    }
    let ips = taken.values().flat_map(|ips| ips.as_array().into_iter().flatten());
    ips.map(|ip| ip.as_str().unwrap_or_default().parse().with_context(|| format!("address {ip}"))).collect()
}

/// UIDs that have a cgroup, by the last part `pod<uid>` of its path.
fn cgroups(cluster: &Cluster, node: &str) -> anyhow::Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let mut found = BTreeSet::new();
    for mount in mounts.lines().filter(|l| l.contains(" - cgroup")).filter_map(|l| l.split(' ').nth(4)) {
        let root = Path::new(mount).join(format!("skep-{}", cluster.name())).join(node).join("kubepods");
        for class in ["", "burstable", "besteffort"] {
            let entries = fs::read_dir(root.join(class)).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            found.extend(names.filter_map(|name| name.strip_prefix("pod").map(str::to_owned)));
        }
    }
    Ok(found)
}
