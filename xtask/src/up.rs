//! `cargo xtask up`: from nothing to a cluster that serves, with its Service map on the screen.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::{build, images, setup, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes.
    #[arg(long, default_value_t = 3)]
    nodes: u32,
    /// The cluster's name.
    #[arg(long, default_value = "dev")]
    name: String,
}

/// What a user would apply first: three replicas, spread, behind a Service.
const WORKLOAD: &str = include_str!("up/hello.yaml");

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run()?;
    if !shell::is_root() {
        bail!("a local cluster needs root (network namespaces, eBPF): run `sudo -E cargo xtask up`");
    }
    let binaries = build::binaries(true)?;
    let images = images::run()?;
    let skep = binaries.join("skep");
    let nodes = args.nodes.to_string();
    shell::run(Command::new(&skep).args(["up", "--name", &args.name, "--nodes", &nodes, "--uplink", "none"]))?;
    let archives = ["busybox.tar", "endpoint.tar"].map(|file| images.join(file));
    shell::run(Command::new(&skep).args(["image", "load", "--name", &args.name]).args(&archives))?;
    let kubectl = |args_: &[&str]| {
        let mut command = Command::new("kubectl");
        command.args(["--context", &format!("skep-{}", args.name)]).args(args_);
        command
    };
    apply(&mut kubectl(&["apply", "-f", "-"]))?;
    shell::run(&mut kubectl(&["rollout", "status", "deployment/hello", "--timeout=120s"]))?;
    shell::run(&mut kubectl(&["get", "nodes", "-o", "wide"]))?;
    shell::run(&mut kubectl(&["get", "pods,services", "-o", "wide"]))?;
    let url = format!(
        "http://{}",
        shell::output(&mut kubectl(&["get", "service", "hello", "-o", "jsonpath={.spec.clusterIP}"]))?
    );
    let pods = shell::output(&mut kubectl(&["get", "pods", "-l", "app=hello", "-o", "name"]))?;
    for pod in pods.lines() {
        answers(&mut kubectl(&["exec", pod, "--", "/bin/endpoint", "get", &url, "3"]), pod)?;
    }
    answer_on_nodes(&skep, &args.name, &shell::output(&mut kubectl(&["get", "nodes", "-o", "name"]))?, &url)?;
    shell::run(Command::new(&skep).args(["svc", "ls", "--name", &args.name]))?;
    println!("\nthe cluster is up: kubectl --context skep-{} get pods -A; `cargo xtask down` removes it", args.name);
    Ok(())
}

fn apply(command: &mut Command) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().context("start kubectl")?;
    child.stdin.take().context("kubectl has no standard input")?.write_all(WORKLOAD.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("kubectl apply: {status}");
    }
    Ok(())
}

/// The kernel's maps follow the rollout within moments: asks until it answers.
fn answers(command: &mut Command, from: &str) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let out = command.output().with_context(|| format!("ask from {from}"))?;
        if out.status.success() {
            println!(
                "from {from}: {}",
                String::from_utf8_lossy(&out.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
            );
            return Ok(());
        }
        if Instant::now() > end {
            bail!("the Service does not answer from {from}: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn answer_on_nodes(skep: &Path, cluster: &str, nodes: &str, url: &str) -> anyhow::Result<()> {
    let endpoint = shell::target_dir().join("images/endpoint");
    for node in nodes.lines().filter_map(|n| n.strip_prefix("node/")) {
        let mut command = Command::new(skep);
        command.args(["node", "exec", "--name", cluster, node, "--"]).arg(&endpoint).args(["get", url, "3"]);
        answers(&mut command, &format!("node {node}"))?;
    }
    Ok(())
}
