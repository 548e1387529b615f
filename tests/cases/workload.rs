//! Deployments and their Services, as users make them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::eventually;

/// A Deployment of the endpoint image, ready within a second of serving, with a Service on port 80 (HTTP), 81 (TCP echo), 82 (UDP echo).
pub(crate) fn deployment(name: &str, replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  replicas: {replicas}
  strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 10
      topologySpreadConstraints:
      - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: {name}}}}}}}
      containers:
      - name: endpoint
        image: skep.test/endpoint:1
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
        lifecycle: {{preStop: {{sleep: {{seconds: 1}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports:
  - {{name: http, port: 80, targetPort: http}}
  - {{name: echo, port: 81, targetPort: 8081}}
  - {{name: udp, port: 82, targetPort: 8082, protocol: UDP}}
"#
    )
}

/// Applies it and waits until it is rolled out.
pub(crate) fn deploy(cluster: &Cluster, name: &str, replicas: u32) -> anyhow::Result<()> {
    cluster.apply(&deployment(name, replicas))?;
    cluster.get(&["rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]).map(drop)
}

/// Name, node and address of each running pod of an app.
pub(crate) fn pods(cluster: &Cluster, app: &str) -> anyhow::Result<Vec<(String, String, String)>> {
    let template = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.podIP}{\"\\n\"}{end}";
    let selector = format!("app={app}");
    let text =
        cluster.get(&["get", "pods", "-l", &selector, "--field-selector", "status.phase=Running", "-o", template])?;
    text.lines()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut next = || {
                words.next().filter(|w| !w.is_empty()).with_context(|| format!("pod without node or address: {line}"))
            };
            Ok((next()?, next()?, next()?))
        })
        .collect()
}

/// The Service's cluster address.
pub(crate) fn address(cluster: &Cluster, service: &str) -> anyhow::Result<String> {
    cluster.get(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])
}

pub(crate) fn spread_and_served(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "spread", 3)?;
    let pods = pods(cluster, "spread")?;
    let nodes: BTreeSet<&str> = pods.iter().map(|(_, node, _)| node.as_str()).collect();
    ensure!(nodes.len() == 3, "three replicas on {nodes:?}");
    let url = format!("http://{}", address(cluster, "spread")?);
    let names: BTreeSet<&str> = pods.iter().map(|(name, ..)| name.as_str()).collect();
    let all_answer = |text: &str| -> anyhow::Result<()> {
        let seen: BTreeSet<&str> = text.lines().collect();
        ensure!(seen == names, "answers from {seen:?}, not {names:?}");
        Ok(())
    };
    for (pod, ..) in &pods {
        eventually(Duration::from_secs(30), || all_answer(&cluster.in_pod(pod, &["get", &url, "60"])?))
            .with_context(|| format!("from pod {pod}"))?;
    }
    for node in cluster.nodes() {
        eventually(Duration::from_secs(30), || all_answer(&cluster.on_node(&node, &["get", &url, "60"])?))
            .with_context(|| format!("from node {node}"))?;
    }
    let map = skep_tests::machine::output(cluster.skep()?.args(["svc", "ls", "--name", cluster.name()]))?;
    ensure!(map.contains("default/spread"), "no default/spread in:\n{map}");
    Ok(())
}

pub(crate) fn rolling_update(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "rolling", 3)?;
    let target = format!("{}:80", address(cluster, "rolling")?);
    let node = cluster.nodes().next().context("a node")?;
    eventually(Duration::from_secs(30), || cluster.on_node(&node, &["get", &format!("http://{target}")]))?;
    let load = cluster.load(&node, &target)?;
    cluster.get(&["set", "env", "deployment/rolling", "ROUND=2"])?;
    cluster.get(&["rollout", "status", "deployment/rolling", "--timeout=120s"])?;
    load.finish().context("requests during the update").map(|said| eprintln!("rolling update: {}", said.trim()))
}
