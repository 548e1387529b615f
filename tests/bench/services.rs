//! Very many Services on a node: how quick `skep svc ls` is among them, and what the agent holds.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::{self, eventually};

use crate::connection::Connection;
use crate::figure::{Goal, Report, median};
use crate::{objects, process};

const VIEWED: usize = 10_000;
const HELD: usize = 30_000;
const ENDPOINTS: usize = 4;
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::up(1)?;
    make(&cluster, 0..VIEWED)?;
    in_kernel(&cluster, VIEWED)?;
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        machine::output(cluster.skep()?.args(["svc", "ls", "--name", cluster.name()]))?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    report.add("skep svc ls at 10 k Services, p50", median(times), "ms", Goal::AtMost(50.0));
    make(&cluster, VIEWED..HELD)?;
    in_kernel(&cluster, HELD)?;
    // What the change allocated has been given back.
    std::thread::sleep(Duration::from_secs(20));
    let node = cluster.nodes().next().context("a node")?;
    let held = process::pss(&cluster.pid("agent", Some(&node))?)?;
    report.add("agent memory at 30 k Services × 4 endpoints", held, "MiB", Goal::AtMost(64.0));
    Ok(())
}

/// Services with an EndpointSlice each.
fn make(cluster: &Cluster, numbers: Range<usize>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(Connection::of(cluster.kubeconfig()).await?);
        }
        objects::create(&connections, "/api/v1/namespaces/default/services", numbers.clone(), service).await?;
        objects::create(&connections, SLICES, numbers, slice).await?;
        Ok(())
    })
}

/// Waits until the node's kernel has all of them, with all endpoints.
fn in_kernel(cluster: &Cluster, count: usize) -> anyhow::Result<()> {
    eventually(Duration::from_secs(120), || {
        let args = ["svc", "ls", "--name", cluster.name(), "-o", "json"];
        let view: serde_json::Value = serde_json::from_str(&machine::output(cluster.skep()?.args(args))?)?;
        let services = view["services"].as_array().context("no services in the view")?;
        let whole = services.iter().filter(|s| s["backends"].as_array().is_some_and(|b| b.len() == ENDPOINTS)).count();
        ensure!(whole == count, "{whole} of {count} Services have all endpoints");
        Ok(())
    })
}

fn service(number: usize) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"service-{number}"}},"spec":{{"ports":[{{"name":"http","port":80,"targetPort":8080}}]}}}}"#
    )
}

fn slice(number: usize) -> String {
    let endpoints: Vec<String> = (number * ENDPOINTS..(number + 1) * ENDPOINTS)
        .map(|address| {
            let [_, a, b, c] = u32::try_from(address).unwrap_or_default().to_be_bytes();
            format!(r#"{{"addresses":["10.{}.{b}.{c}"],"conditions":{{"ready":true}}}}"#, 200 + a)
        })
        .collect();
    format!(
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"service-{number}-x","labels":{{"kubernetes.io/service-name":"service-{number}"}}}},"addressType":"IPv4","ports":[{{"name":"http","port":8080,"protocol":"TCP"}}],"endpoints":[{}]}}"#,
        endpoints.join(",")
    )
}
