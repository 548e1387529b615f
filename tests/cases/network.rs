//! What pods see of the network.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::eventually;

use crate::workload::{address, deploy, pods};

/// Two pods of one app on different nodes, or on the same one.
type Pair = ((String, String, String), (String, String, String));

fn pairs(cluster: &Cluster) -> anyhow::Result<Vec<(&'static str, Pair)>> {
    deploy(cluster, "net", 4)?;
    let pods = pods(cluster, "net")?;
    let find = |same: bool| {
        pods.iter()
            .find_map(|a| pods.iter().find(|b| a.0 != b.0 && (a.1 == b.1) == same).map(|b| (a.clone(), b.clone())))
    };
    Ok(vec![
        ("same node", find(true).context("four pods on three nodes: two share one")?),
        ("other node", find(false).context("four pods on three nodes: two are apart")?),
    ])
}

pub(crate) fn real_addresses(cluster: &Cluster) -> anyhow::Result<()> {
    for (what, (client, server)) in pairs(cluster)? {
        let seen = cluster.in_pod(&client.0, &["get", &format!("http://{}:8080/clientip", server.2)]).context(what)?;
        ensure!(
            seen.contains(&format!("{}]", client.2)) || seen.contains(&format!("{}:", client.2)),
            "{what}: {} is seen as {seen}",
            client.2
        );
    }
    Ok(())
}

pub(crate) fn udp(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "udp", 2)?;
    let target = format!("{}:82", address(cluster, "udp")?);
    for (pod, ..) in pods(cluster, "udp")? {
        let said = eventually(Duration::from_secs(10), || cluster.in_pod(&pod, &["udp", &target, "5"]))
            .with_context(|| format!("from {pod}"))?;
        ensure!(said.lines().count() == 5, "five answers, not {said}");
    }
    for node in cluster.nodes() {
        eventually(Duration::from_secs(10), || cluster.on_node(&node, &["udp", &target, "5"]))
            .with_context(|| format!("from {node}"))?;
    }
    Ok(())
}

pub(crate) fn refusal(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "net", 4)?;
    cluster.apply("apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {selector: {app: nobody}, ports: [{port: 80}]}\n")?;
    let target = format!("{}:80", address(cluster, "empty")?);
    let refused = |said: String| {
        ensure!(said.starts_with("ConnectionRefused"), "not refused: {said}");
        Ok(())
    };
    let (pod, node, _) = pods(cluster, "net")?.into_iter().next().context("a pod")?;
    eventually(Duration::from_secs(10), || refused(cluster.in_pod(&pod, &["connect", &target])?))
        .context("from a pod")?;
    eventually(Duration::from_secs(10), || refused(cluster.on_node(&node, &["connect", &target])?))
        .context("from a node")
}

pub(crate) fn full_size(cluster: &Cluster) -> anyhow::Result<()> {
    for (what, (client, server)) in pairs(cluster)? {
        cluster
            .in_pod(&client.0, &["stream", &format!("{}:8081", server.2), "8000000"])
            .with_context(|| format!("stream, {what}"))?;
        let device = cluster.get(&["exec", &client.0, "--", "cat", "/sys/class/net/eth0/mtu"])?;
        let mtu: u32 = device.trim().parse().context("the pod's MTU")?;
        // IPv4 and ICMP headers take 28 bytes; busybox's ping cannot forbid fragments, so the counters of fragments must stay where they are.
        let fragments = |pod: &str| cluster.get(&["exec", pod, "--", "grep", "^Ip:", "/proc/net/snmp"]);
        let before = created(&fragments(&client.0)?)?;
        cluster
            .get(&["exec", &client.0, "--", "ping", "-c", "2", "-W", "2", "-s", &(mtu - 28).to_string(), &server.2])
            .with_context(|| format!("ping, {what}"))?;
        ensure!(created(&fragments(&client.0)?)? == before, "{what}: a full-size ping of {mtu} bytes was fragmented");
    }
    Ok(())
}

/// `FragCreates` of /proc/net/snmp.
fn created(snmp: &str) -> anyhow::Result<String> {
    let mut lines = snmp.lines();
    let names = lines.next().context("no names in /proc/net/snmp")?;
    let values = lines.next().context("no values in /proc/net/snmp")?;
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "FragCreates");
    found.map(|(_, value)| value.to_owned()).context("no FragCreates in /proc/net/snmp")
}

pub(crate) fn hairpin(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "alone", 1)?;
    let url = format!("http://{}", address(cluster, "alone")?);
    let (pod, ..) = pods(cluster, "alone")?.into_iter().next().context("a pod")?;
    let said = eventually(Duration::from_secs(10), || cluster.in_pod(&pod, &["get", &url]))?;
    ensure!(said.trim() == pod, "{said} answers, not {pod}");
    Ok(())
}
