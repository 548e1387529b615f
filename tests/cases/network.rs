//! What pods and nodes see of the network, by IPv4 and IPv6.

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::holdings::{self, Pod};
use skep_tests::machine::{self, eventually};

use crate::workload::{deploy, deployment, pods};

const PATIENCE: Duration = Duration::from_secs(30);

/// One end of a conversation.
#[derive(Clone, Debug)]
enum Place {
    Pod(Pod),
    Node { name: String, ips: Vec<IpAddr> },
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Pod(pod) => &pod.name,
            Self::Node { name, .. } => name,
        }
    }

    fn has(&self, ip: IpAddr) -> bool {
        match self {
            Self::Pod(pod) => pod.ips.contains(&ip),
            Self::Node { ips, .. } => ips.contains(&ip),
        }
    }

    /// Its address of the same family as `like`.
    fn ip(&self, v6: bool) -> anyhow::Result<IpAddr> {
        let found = match self {
            Self::Pod(pod) => pod.ips.iter().find(|ip| ip.is_ipv6() == v6),
            Self::Node { ips, .. } => ips.iter().find(|ip| ip.is_ipv6() == v6),
        };
        found.copied().with_context(|| format!("{} has no address of that family", self.name()))
    }

    /// Runs the endpoint program there.
    fn endpoint(&self, cluster: &Cluster, args: &[&str]) -> anyhow::Result<String> {
        match self {
            Self::Pod(pod) => cluster.in_pod(&pod.name, args),
            Self::Node { name, .. } => cluster.on_node(name, args),
        }
    }

    /// Runs busybox there.
    fn busybox(&self, cluster: &Cluster, args: &[&str]) -> anyhow::Result<String> {
        match self {
            Self::Pod(pod) => cluster.get(&[&["exec", &pod.name, "--", "/bin/busybox"], args].concat()),
            Self::Node { name, .. } => machine::output(cluster.node_command(name, "/bin/busybox".as_ref())?.args(args)),
        }
    }
}

/// Address and port as programs take them.
fn at(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}

/// Pods and nodes to talk from and to.
struct Ground {
    /// Where connections begin: a pod and its node.
    pod: Place,
    node: Place,
    /// Pods on the same node as `pod`, and on another one.
    near: Place,
    far: Place,
    /// Another node, with the endpoint's servers on `port`, as on `node`.
    other_node: Place,
    port: u16,
    servers: Vec<Child>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

impl Ground {
    fn prepare(cluster: &Cluster) -> anyhow::Result<Self> {
        let manifest = deployment("net", 4)
            .replace("  selector: {app: net}\n", "  ipFamilyPolicy: RequireDualStack\n  selector: {app: net}\n");
        cluster.apply(&manifest)?;
        cluster.get(&["rollout", "status", "deployment/net", "--timeout=120s"])?;
        let pods = holdings::pods(cluster, "app=net")?;
        let find = |same: bool| {
            pods.iter().find_map(|a| {
                let b = pods.iter().find(|b| a.name != b.name && (a.node == b.node) == same)?;
                Some((a.clone(), b.clone()))
            })
        };
        let (pod, near) = find(true).context("four pods on three nodes: two share one")?;
        let far =
            pods.iter().find(|p| p.node != pod.node).cloned().context("four pods on three nodes: two are apart")?;
        let node = node(cluster, &pod.node)?;
        let other = cluster.nodes().find(|name| *name != pod.node && *name != far.node).context("a third node")?;
        let other_node = self::node(cluster, &other)?;
        let port = 18080;
        let mut servers = Vec::new();
        for place in [&node, &other_node] {
            let mut command = cluster.node_command(place.name(), &machine::image("endpoint")?)?;
            servers.push(command.args(["serve", &port.to_string()]).stdout(Stdio::null()).spawn()?);
        }
        let [pod, near, far] = [pod, near, far].map(Place::Pod);
        let ground = Self { pod, node, near, far, other_node, port, servers };
        for place in [&ground.node, &ground.other_node] {
            let target = at(place.ip(false)?, port);
            eventually(PATIENCE, || place.endpoint(cluster, &["get", &format!("http://{target}")]))?;
        }
        Ok(ground)
    }

    /// Every kind of way through the cluster: what it is called, from where, to where, at which port.
    fn ways(&self) -> [(&'static str, &Place, &Place, u16); 8] {
        [
            ("pod to pod, same node", &self.pod, &self.near, 8080),
            ("pod to pod, other node", &self.pod, &self.far, 8080),
            ("pod to itself", &self.pod, &self.pod, 8080),
            ("pod to its node", &self.pod, &self.node, self.port),
            ("pod to other node", &self.pod, &self.other_node, self.port),
            ("node to its pod", &self.node, &self.pod, 8080),
            ("node to pod of another node", &self.node, &self.far, 8080),
            ("node to node", &self.node, &self.other_node, self.port),
        ]
    }
}

fn node(cluster: &Cluster, name: &str) -> anyhow::Result<Place> {
    let template = r#"jsonpath={.status.addresses[?(@.type=="InternalIP")].address}"#;
    let ips: Result<Vec<IpAddr>, _> =
        cluster.get(&["get", "node", name, "-o", template])?.split(' ').map(str::parse).collect();
    Ok(Place::Node { name: name.to_owned(), ips: ips.context("a node's addresses")? })
}

/// Cluster addresses of a Service, one per family.
fn cluster_ips(cluster: &Cluster, service: &str) -> anyhow::Result<Vec<IpAddr>> {
    let text = cluster.get(&["get", "service", service, "-o", "jsonpath={.spec.clusterIPs[*]}"])?;
    let ips: Result<Vec<IpAddr>, _> = text.split(' ').map(str::parse).collect();
    let ips = ips.context("the Service's addresses")?;
    ensure!(ips.len() == 2, "{service} has {ips:?}, not one address per family");
    Ok(ips)
}

/// Who asks, as the one who is asked sees it.
fn peer(cluster: &Cluster, from: &Place, target: &str) -> anyhow::Result<IpAddr> {
    let said = from.endpoint(cluster, &["get", &format!("http://{target}/clientip")])?;
    let seen: std::net::SocketAddr = said.trim().parse().with_context(|| format!("peer {said:?}"))?;
    Ok(seen.ip().to_canonical())
}

pub(crate) fn real_addresses(cluster: &Cluster) -> anyhow::Result<()> {
    let ground = Ground::prepare(cluster)?;
    for (way, from, to, port) in ground.ways() {
        for v6 in [false, true] {
            let target = at(to.ip(v6)?, port);
            let seen = peer(cluster, from, &target).with_context(|| format!("{way}, {target}"))?;
            ensure!(from.has(seen), "{way}: {from:?} is seen as {seen} by {target}");
        }
    }
    for service in cluster_ips(cluster, "net")? {
        for from in [&ground.pod, &ground.node] {
            let target = at(service, 80);
            let seen = eventually(PATIENCE, || peer(cluster, from, &target))
                .with_context(|| format!("{} to {target}", from.name()))?;
            ensure!(from.has(seen), "{from:?} is seen as {seen} through {target}");
        }
    }
    // The API server sees pods too, by its Service and by its own address.
    for target in [at(cluster_ip(cluster, "kubernetes")?, 443), api_server(cluster)?] {
        let said = eventually(PATIENCE, || ground.pod.endpoint(cluster, &["connect", &target]))?;
        ensure!(said.starts_with("ok"), "pod to API server {target}: {said}");
    }
    Ok(())
}

fn cluster_ip(cluster: &Cluster, service: &str) -> anyhow::Result<IpAddr> {
    let text = cluster.get(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])?;
    text.parse().with_context(|| format!("address {text:?}"))
}

fn api_server(cluster: &Cluster) -> anyhow::Result<String> {
    let template = "jsonpath={.subsets[0].addresses[0].ip}:{.subsets[0].ports[0].port}";
    cluster.get(&["get", "endpoints", "kubernetes", "-o", template])
}

pub(crate) fn udp(cluster: &Cluster) -> anyhow::Result<()> {
    let ground = Ground::prepare(cluster)?;
    let ask = |from: &Place, target: &str| {
        let said = from.endpoint(cluster, &["udp", target, "5"]).with_context(|| format!("from {}", from.name()))?;
        ensure!(said.lines().count() == 5, "five answers of {target}, not {said}");
        Ok(())
    };
    for service in cluster_ips(cluster, "net")? {
        let target = at(service, 82);
        for from in [&ground.pod, &ground.far, &ground.node, &ground.other_node] {
            eventually(PATIENCE, || ask(from, &target))?;
        }
    }
    for (way, from, to, port) in ground.ways() {
        for v6 in [false, true] {
            ask(from, &at(to.ip(v6)?, port + 2)).context(way)?;
        }
    }
    Ok(())
}

pub(crate) fn refusal(cluster: &Cluster) -> anyhow::Result<()> {
    let ground = Ground::prepare(cluster)?;
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {ipFamilyPolicy: RequireDualStack, selector: {app: nobody}, ports: [{port: 80}]}\n",
    )?;
    for service in cluster_ips(cluster, "empty")? {
        let target = at(service, 80);
        for from in [&ground.pod, &ground.node, &ground.far, &ground.other_node] {
            let micros: u64 = eventually(PATIENCE, || {
                let said = from.endpoint(cluster, &["connect", &target])?;
                let micros =
                    said.trim().strip_prefix("ConnectionRefused ").with_context(|| format!("not refused: {said}"))?;
                Ok(micros.parse()?)
            })
            .with_context(|| format!("{} to {target}", from.name()))?;
            eprintln!("refused after {micros} µs: {} to {target}", from.name());
        }
    }
    Ok(())
}

pub(crate) fn full_size(cluster: &Cluster) -> anyhow::Result<()> {
    let ground = Ground::prepare(cluster)?;
    let mtu: usize =
        ground.pod.busybox(cluster, &["cat", "/sys/class/net/eth0/mtu"])?.trim().parse().context("the pod's MTU")?;
    let uplink = machine::output(Command::new("ip").args([
        "-n",
        &format!("skep-{}", ground.node.name()),
        "-o",
        "link",
        "show",
        "eth0",
    ]))?;
    let uplink: usize = uplink
        .split_once("mtu ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .context("the node's MTU")?;
    // Outer Ethernet, IPv4, UDP and VXLAN headers.
    ensure!(mtu + 50 == uplink, "pods have an MTU of {mtu}, nodes of {uplink}");
    // busybox's ping cannot forbid fragments: the counters of fragments must stay where they are, everywhere.
    let places = [&ground.pod, &ground.near, &ground.far, &ground.node, &ground.other_node];
    let count = || places.iter().map(|place| fragments(cluster, place)).collect::<anyhow::Result<Vec<_>>>();
    let before = count()?;
    for (way, from, to, port) in ground.ways() {
        for v6 in [false, true] {
            let ip = to.ip(v6)?;
            let about = || format!("{way}, {ip}");
            from.endpoint(cluster, &["stream", &at(ip, port + 1), "2000000"]).with_context(about)?;
            let size = (mtu - if v6 { 48 } else { 28 }).to_string();
            let family = if v6 { "-6" } else { "-4" };
            from.busybox(cluster, &["ping", family, "-c", "1", "-W", "5", "-s", &size, &ip.to_string()])
                .with_context(about)?;
        }
    }
    for ((place, before), after) in places.iter().zip(before).zip(count()?) {
        ensure!(before == after, "{}: packets of {mtu} bytes were fragmented: {before:?}, {after:?}", place.name());
    }
    Ok(())
}

/// Packets that were cut into fragments or put together from them.
fn fragments(cluster: &Cluster, place: &Place) -> anyhow::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    let v4 = place.busybox(cluster, &["cat", "/proc/net/snmp"])?;
    let mut lines = v4.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { bail!("no counters in /proc/net/snmp") };
    found.extend(names.split(' ').map(str::to_owned).zip(values.split(' ').map(|v| v.parse().unwrap_or(0))));
    let v6 = place.busybox(cluster, &["cat", "/proc/net/snmp6"])?;
    found.extend(v6.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    }));
    found.retain(|(name, _)| name.contains("Frag") || name.contains("Reasm"));
    ensure!(found.len() > 4, "counters of fragments are missing: {found:?}");
    Ok(found)
}

pub(crate) fn hairpin(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "alone", 1)?;
    let url = format!("http://{}", cluster_ip(cluster, "alone")?);
    let (pod, ..) = pods(cluster, "alone")?.into_iter().next().context("a pod")?;
    let said = eventually(PATIENCE, || cluster.in_pod(&pod, &["get", &url]))?;
    ensure!(said.trim() == pod, "{said} answers, not {pod}");
    Ok(())
}
