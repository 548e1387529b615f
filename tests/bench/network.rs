//! Pods through a Service and directly, pods and bare namespaces: request/response, connect/request/close, one stream.
//! Clients run on the first processor, servers on the second.

use std::time::Duration;

use anyhow::Context as _;
use skep_tests::cluster::Cluster;
use skep_tests::machine::{self, eventually};
use skep_tests::wire::Wire;

use crate::figure::{Goal, Report};

/// Rounds of each side of a pair; each takes this many seconds. Many short ones: the machine's mood changes within seconds.
const ROUNDS: usize = 15;
const SECONDS: &str = "0.4";

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::up(2)?;
    let nodes: Vec<String> = cluster.nodes().collect();
    let [near, far] = nodes.as_slice() else { anyhow::bail!("two nodes") };
    cluster.apply(
        &[pod("client", near), pod("near", near), pod("far", far), service("near"), service("far")].join("---\n"),
    )?;
    cluster.get(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"])?;
    let pod_ip = |pod: &str| cluster.get(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    let service_ip = |name: &str| cluster.get(&["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]);
    let (near_pod, far_pod) = (format!("{}:8081", pod_ip("near")?), format!("{}:8081", pod_ip("far")?));
    let (near_service, far_service) = (format!("{}:81", service_ip("near")?), format!("{}:81", service_ip("far")?));
    for target in [&near_pod, &far_pod, &near_service, &far_service] {
        eventually(Duration::from_secs(10), || cluster.in_pod("client", &["rr", target, "0"]))?;
    }
    // Closed connections would fill the port space and measure the kernel's search through it instead.
    let prepare = [
        "exec",
        "client",
        "--",
        "sh",
        "-c",
        "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse; echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range",
    ];
    cluster.get(&prepare).context("prepare the client's ports")?;
    let bare = Wire::lay()?;
    bare.serve()?;
    let pod = |verb: &'static str, target: &str| {
        let (cluster, target) = (&cluster, target.to_owned());
        move || number(&cluster.in_pod("client", &[verb, &target, SECONDS])?)
    };
    let wire = |verb: &'static str| {
        let bare = &bare;
        move || number(&bare.dial(verb, SECONDS)?)
    };
    let nodes_direct = |verb: &'static str, port: u16| {
        let (cluster, target) = (&cluster, format!("{}:{port}", node_ip(&cluster, far)));
        move || number(&cluster.on_node(near, &[verb, &target, SECONDS])?)
    };

    report.add_ratios(
        "ClusterIP ÷ direct, request/response, same node",
        &ratios(pod("rr", &near_service), pod("rr", &near_pod))?,
        Goal::AtLeast(0.99),
    );
    report.add_ratios(
        "ClusterIP ÷ direct, connect/request/close, same node",
        &ratios(pod("crr", &near_service), pod("crr", &near_pod))?,
        Goal::AtLeast(0.95),
    );
    report.add_ratios(
        "ClusterIP ÷ direct, request/response, other node",
        &ratios(pod("rr", &far_service), pod("rr", &far_pod))?,
        Goal::AtLeast(0.99),
    );
    report.add_ratios(
        "ClusterIP ÷ direct, connect/request/close, other node",
        &ratios(pod("crr", &far_service), pod("crr", &far_pod))?,
        Goal::AtLeast(0.95),
    );
    report.add_ratios(
        "same-node pods ÷ bare veth, request/response",
        &ratios(pod("rr", &near_pod), wire("rr"))?,
        Goal::AtLeast(0.95),
    );
    report.add_ratios(
        "same-node pods ÷ bare veth, one stream",
        &ratios(pod("flood", &near_pod), wire("flood"))?,
        Goal::None,
    );
    let server = cluster
        .node_command(far, &machine::image("endpoint")?)?
        .args(["serve", "18080"])
        .env("CPU", "1")
        .spawn()
        .context("serve on a node")?;
    let _server = Kill(server);
    let across = (|| {
        eventually(Duration::from_secs(5), nodes_direct("rr", 18081))?;
        let rr = ratios(pod("rr", &far_pod), nodes_direct("rr", 18081))?;
        let flood = ratios(pod("flood", &far_pod), nodes_direct("flood", 18081))?;
        anyhow::Ok((rr, flood))
    })()?;
    report.add_ratios("cross-node pods ÷ node–node, request/response", &across.0, Goal::AtLeast(0.90));
    report.add_ratios("cross-node pods ÷ node–node, one stream", &across.1, Goal::AtLeast(0.95));
    report.add_ratios(
        "cross-node pods ÷ bare veth, request/response",
        &ratios(pod("rr", &far_pod), wire("rr"))?,
        Goal::None,
    );
    connect_hook(report, &cluster, near, &near_service)
}

/// Ends a server we started.
struct Kill(std::process::Child);

impl Drop for Kill {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("end the node's server: {error}");
        }
    }
}

/// Runs both sides in turn, each as often first as the other; the ratio of each round.
fn ratios(
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut base: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<f64>> {
    (0..ROUNDS)
        .map(|round| {
            if round % 2 == 0 {
                let ours = ours()?;
                Ok(ours / base()?)
            } else {
                let base = base()?;
                Ok(ours()? / base)
            }
        })
        .collect()
}

fn number(text: &str) -> anyhow::Result<f64> {
    text.trim().parse().with_context(|| format!("not a number: {text:?}"))
}

fn node_ip(cluster: &Cluster, node: &str) -> String {
    let template = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
    let all = cluster.get(&["get", "node", node, "-o", template]).unwrap_or_default();
    all.split_whitespace().next().unwrap_or_default().to_owned()
}

fn pod(name: &str, node: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  nodeName: {node}\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: endpoint\n    image: skep.test/endpoint:1\n    env: [{{name: CPU, value: \"1\"}}]\n    securityContext: {{privileged: true}}\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: echo, port: 81, targetPort: 8081}}]}}\n"
    )
}

/// The kernel's own count of time spent in the program, switched on for the length of the measurement.
fn connect_hook(report: &mut Report, cluster: &Cluster, node: &str, target: &str) -> anyhow::Result<()> {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
    std::fs::write(SWITCH, "1").context("switch program statistics on")?;
    let measured = (|| {
        let before = hook_statistics(node)?;
        cluster.in_pod("client", &["crr", target, "3"])?;
        let after = hook_statistics(node)?;
        anyhow::Ok((after.0 - before.0) / (after.1 - before.1).max(1.0))
    })();
    std::fs::write(SWITCH, "0").context("switch program statistics off")?;
    report.add("connect hook, mean", measured?, "ns", Goal::AtMost(400.0));
    Ok(())
}

/// Nanoseconds and runs of `socket_connect4`, by the program's own pin.
fn hook_statistics(node: &str) -> anyhow::Result<(f64, f64)> {
    let root = std::path::Path::new("/sys/fs/bpf").join(format!("skep-{node}"));
    let version = std::fs::read_dir(&root)?.flatten().map(|e| e.path()).find(|p| p.join("programs").is_dir());
    let pin = version.context("no pinned programs")?.join("programs/socket_connect4");
    let info = aya::programs::loaded_programs();
    let wanted = aya::programs::ProgramInfo::from_pin(&pin).with_context(|| format!("open {}", pin.display()))?.id();
    for program in info {
        let program = program?;
        if program.id() == wanted {
            return Ok((program.run_time().as_nanos() as f64, program.run_count() as f64));
        }
    }
    anyhow::bail!("program {wanted} is gone")
}
