//! The CNI plugin: ADD, alone and twenty at a time, as the runtime executes it on a node with an agent.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use skep_tests::cluster::Cluster;
use skep_tests::machine;

use crate::figure::{Goal, Report, median, quantile};

const PARALLEL: usize = 20;
const ROUNDS: usize = 5;

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::up(1)?;
    let node = cluster.nodes().next().context("a node")?;
    let directory = Path::new("/var/lib/skep/clusters").join(cluster.name()).join("nodes").join(&node).join("cni");
    let configuration = plugin_configuration(&directory.join("net.d/10-skep.conflist"))?;
    let plugin = Plugin { cluster: &cluster, node: &node, binary: directory.join("bin/skep-cni"), configuration };
    let mut alone = Vec::new();
    for number in 0..PARALLEL {
        alone.extend(plugin.add_and_delete(&[format!("one{number}")])?);
    }
    report.add("CNI ADD, alone, p50", median(alone), "ms", Goal::AtMost(15.0));
    let mut together = Vec::new();
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..PARALLEL).map(|number| format!("r{round}n{number}")).collect();
        together.extend(plugin.add_and_delete(&names)?);
    }
    report.add("CNI ADD, 20 at a time, p50", median(together.clone()), "ms", Goal::None);
    report.add("CNI ADD, 20 at a time, p99", quantile(together, 0.99), "ms", Goal::AtMost(60.0));
    Ok(())
}

/// What the runtime hands to the plugin: the list's entry with the list's name and version.
fn plugin_configuration(conflist: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(conflist).with_context(|| format!("read {}", conflist.display()))?;
    let list: serde_json::Value = serde_json::from_str(&text)?;
    let mut plugin = list["plugins"][0].clone();
    plugin["name"] = list["name"].clone();
    plugin["cniVersion"] = list["cniVersion"].clone();
    Ok(plugin.to_string())
}

struct Plugin<'a> {
    cluster: &'a Cluster,
    node: &'a str,
    binary: PathBuf,
    configuration: String,
}

impl Plugin<'_> {
    /// ADD for all names at once, then DEL; the milliseconds of each ADD.
    fn add_and_delete(&self, names: &[String]) -> anyhow::Result<Vec<f64>> {
        let spaces: Vec<String> = names.iter().map(|name| format!("{}-{name}", self.cluster.name())).collect();
        for space in &spaces {
            machine::output(Command::new("ip").args(["netns", "add", space]))?;
        }
        let done = std::thread::scope(|scope| {
            let adds: Vec<_> = spaces.iter().map(|space| scope.spawn(move || self.call("ADD", space))).collect();
            adds.into_iter()
                .map(|add| add.join().unwrap_or_else(|_| bail!("a thread panicked")))
                .collect::<anyhow::Result<Vec<f64>>>()
        });
        for space in &spaces {
            self.call("DEL", space)?;
            machine::output(Command::new("ip").args(["netns", "delete", space]))?;
        }
        done
    }

    fn call(&self, command: &str, space: &str) -> anyhow::Result<f64> {
        let start = Instant::now();
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/skep-{}", self.node))
            .arg(&self.binary)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", space)
            .env("CNI_NETNS", format!("/run/netns/{space}"))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", self.binary.parent().unwrap_or_else(|| Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start skep-cni")?;
        child.stdin.take().context("no standard input")?.write_all(self.configuration.as_bytes())?;
        let out = child.wait_with_output()?;
        let took = start.elapsed();
        if !out.status.success() {
            bail!(
                "{command} {space}: {}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            );
        }
        Ok(took.as_secs_f64() * 1000.0)
    }
}
