//! SIGKILL to any component at any moment: during rolling updates, while pods start and end, while objects are written. Nobody's request fails, no pod
//! that stays is touched, no acknowledged write is lost, and in the end every node holds exactly what its pods need.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use skep_tests::cluster::{Cluster, Load};
use skep_tests::dice::Dice;
use skep_tests::holdings::{self, Pod};
use skep_tests::ledger::Ledger;
use skep_tests::machine::eventually;

use crate::workload::{address, deploy, deployment};

/// After so many kills everything must come to rest; of a long run (`SKEP_KILLS` in all) that is most of the time, so there it must less often.
const ROUND: u64 = 4;
const LONG_ROUND: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(90);

/// A pod that asks a Service for ever.
fn asking(name: &str, node: &str, target: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: asking}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: endpoint
    image: skep.test/endpoint:1
    args: [load, "{target}", ever]
"#
    )
}

struct Stage<'a> {
    cluster: &'a Cluster,
    loads: Vec<Load>,
    asking: Vec<String>,
    steady: Vec<Pod>,
    silences: String,
}

pub(crate) fn at_any_moment(cluster: &Cluster) -> anyhow::Result<()> {
    let usual = if cluster.storage() == "etcd" { 4 } else { 8 };
    let kills = std::env::var("SKEP_KILLS").ok().map_or(Ok(usual), |text| text.parse()).context("SKEP_KILLS")?;
    let round = if kills > 50 { LONG_ROUND } else { ROUND };
    let mut dice = Dice::shaken();
    let stage = Stage::set(cluster)?;
    cluster.get(&["create", "namespace", "ledger"])?;
    let ledger = Ledger::open(cluster.kubeconfig(), "ledger")?;
    for kill in 1..=kills {
        let said = stage.disturb(&mut dice).with_context(|| format!("disturb, kill {kill}"))?;
        dice.wait(Duration::from_millis(2500));
        let killed = stage.kill(&mut dice).with_context(|| format!("kill {kill}"))?;
        let begin = Instant::now();
        stage.undisturbed().with_context(|| format!("after kill {kill}, {killed}, {said}"))?;
        if kill % round == 0 || kill == kills {
            stage.at_rest().with_context(|| format!("after kill {kill}, {killed}, {said}"))?;
        }
        eprintln!("kill {kill} of {kills}: {killed}, {said}; settled after {:.1?}", begin.elapsed());
    }
    let (written, failed) = ledger.close()?;
    eprintln!("writes: {written} acknowledged, none lost; {failed} requests met a dead server");
    for said in stage.leave()? {
        eprintln!("requests: {said}");
    }
    Ok(())
}

/// How often which node was said to be not ready: each is before its network is set up.
fn silences(cluster: &Cluster) -> anyhow::Result<String> {
    let columns = "custom-columns=:.involvedObject.name,:.count";
    cluster.get(&["get", "events", "-A", "--field-selector", "reason=NodeNotReady", "-o", columns])
}

/// Addresses that a node sends new connections of a Service to.
fn backends(cluster: &Cluster, node: &str, app: &str) -> anyhow::Result<BTreeSet<String>> {
    let view = cluster.service_view(node, &format!("default/{app}"))?;
    let ports = view["services"].as_array().context("no services in the view")?;
    let of_http = ports.iter().filter(|port| port["portName"] == "http");
    let active =
        of_http.flat_map(|port| port["backends"].as_array().into_iter().flatten()).filter(|b| b["state"] == "active");
    Ok(active.filter_map(|b| b["address"].as_str()?.rsplit_once(':').map(|(ip, _)| ip.to_owned())).collect())
}

impl<'a> Stage<'a> {
    fn set(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let nodes: Vec<String> = cluster.nodes().collect();
        let (first, last) = (nodes.first().context("a node")?, nodes.last().context("a node")?);
        deploy(cluster, "steady", 3)?;
        // Longer than a component is dead: nobody asks a pod that has gone because nobody could tell him.
        cluster.apply(
            &deployment("rolling", 3).replace("{seconds: 1}", "{seconds: 8}").replace("Seconds: 10", "Seconds: 30"),
        )?;
        cluster.get(&["rollout", "status", "deployment/rolling", "--timeout=90s"])?;
        deploy(cluster, "churn", 2)?;
        let steady = format!("{}:80", address(cluster, "steady")?);
        let rolling = format!("{}:80", address(cluster, "rolling")?);
        for target in [&steady, &rolling] {
            for node in &nodes {
                eventually(Duration::from_secs(10), || cluster.on_node(node, &["get", &format!("http://{target}")]))?;
            }
        }
        cluster.apply(&asking("asks-steady", last, &steady))?;
        cluster.apply(&asking("asks-rolling", first, &rolling))?;
        cluster.get(&["wait", "--for=condition=Ready", "pod", "-l", "app=asking", "--timeout=30s"])?;
        let loads = vec![cluster.load(first, &steady)?, cluster.load(last, &rolling)?];
        let steady = holdings::pods(cluster, "app in (steady, asking)")?;
        let asking = vec!["asks-steady".to_owned(), "asks-rolling".to_owned()];
        Ok(Self { cluster, loads, asking, steady, silences: silences(cluster)? })
    }

    /// Something that makes the components work.
    fn disturb(&self, dice: &mut Dice) -> anyhow::Result<String> {
        let get = |args: &[&str]| self.cluster.get(args);
        Ok(match dice.below(6) {
            0 => "at rest".to_owned(),
            1 | 2 => {
                let replicas = dice.below(7);
                get(&["scale", "deployment/churn", &format!("--replicas={replicas}")])?;
                format!("while scaling to {replicas}")
            }
            3 => {
                get(&["rollout", "restart", "deployment/churn"])?;
                "while pods are replaced".to_owned()
            }
            4 => {
                get(&["rollout", "restart", "deployment/rolling"])?;
                "during a rolling update".to_owned()
            }
            _ => {
                get(&["delete", "pods", "-l", "app=churn", "--wait=false"])?;
                "while pods are deleted".to_owned()
            }
        })
    }

    /// One component, sometimes two at once, which come back: by the supervisor, or by `up`, which then starts the supervisor too.
    fn kill(&self, dice: &mut Dice) -> anyhow::Result<String> {
        let cluster = self.cluster;
        let nodes: Vec<String> = cluster.nodes().collect();
        let mut all: Vec<(&str, Option<&str>)> = vec![("server", None)];
        if cluster.storage() == "etcd" {
            all.push(("etcd", None));
        }
        for component in ["containerd", "kubelet", "agent"] {
            // As often as the server, whatever the number of nodes; the runtime twice as often: most can be half done there.
            let times = if component == "containerd" { 2 } else { 1 };
            all.extend((0..times).map(|_| (component, Some(dice.one_of(&nodes).as_str()))));
        }
        let mut chosen = BTreeSet::new();
        for _ in 0..if dice.below(4) == 0 { 2 } else { 1 } {
            chosen.insert(*dice.one_of(&all));
        }
        let names = chosen.iter().map(|(component, node)| format!("{component} of {}", node.unwrap_or("the cluster")));
        let names = names.collect::<Vec<_>>().join(" and ");
        let supervised = dice.below(2) == 0;
        if !supervised {
            cluster.kill("supervisor", None)?;
        }
        for &(component, node) in &chosen {
            cluster.kill(component, node)?;
        }
        if supervised {
            for &(component, node) in &chosen {
                cluster.comes_back(component, node)?;
            }
            eventually(PATIENCE, || cluster.get(&["get", "--raw", "/readyz"])).with_context(|| names.clone())?;
            return Ok(names);
        }
        dice.wait(Duration::from_millis(500));
        cluster.start().with_context(|| format!("start again after {names}"))?;
        Ok(format!("{names} and the supervisor"))
    }

    /// Every request so far was answered, and the pods that stay are the same in every respect.
    fn undisturbed(&self) -> anyhow::Result<()> {
        for load in &self.loads {
            load.unbroken().context("from a node")?;
        }
        let now = holdings::pods(self.cluster, "app in (steady, asking)")?;
        let same = now.iter().map(Pod::lasting).eq(self.steady.iter().map(Pod::lasting));
        ensure!(same, "pods that stay were {:?} and are {now:?}", self.steady);
        Ok(())
    }

    /// What was asked for is there, and nothing else.
    fn at_rest(&self) -> anyhow::Result<()> {
        for app in ["churn", "rolling", "steady"] {
            let deployment = format!("deployment/{app}");
            self.cluster
                .get(&["rollout", "status", &deployment, "--timeout=120s"])
                .with_context(|| format!("{app} does not converge"))?;
        }
        let pods = eventually(PATIENCE, || {
            let pods = holdings::pods(self.cluster, "")?;
            if let Some(pod) = pods.iter().find(|pod| pod.leaving || !pod.ready) {
                bail!("{pod:?} is not ready or does not leave");
            }
            Ok(pods)
        })?;
        for app in ["churn", "rolling", "steady"] {
            eventually(PATIENCE, || self.served(app)).with_context(|| format!("endpoints of {app}"))?;
        }
        for node in self.cluster.nodes() {
            let own: Vec<Pod> = pods.iter().filter(|pod| pod.node == node).cloned().collect();
            eventually(PATIENCE, || holdings::check(self.cluster, &node, &own))?;
        }
        for pod in &self.asking {
            let failures = self.cluster.get(&["logs", pod, "--tail=1"])?;
            ensure!(failures.contains("failed 0 kept") && failures.trim().ends_with("failed 0"), "{pod}: {failures}");
        }
        self.undisturbed()
    }

    /// EndpointSlices and the map of every node say the pods that are there.
    fn served(&self, app: &str) -> anyhow::Result<()> {
        let pods = holdings::pods(self.cluster, &format!("app={app}"))?;
        let wanted: BTreeSet<String> =
            pods.iter().filter_map(|pod| pod.ips.iter().find(|ip| ip.is_ipv4())).map(ToString::to_string).collect();
        let selector = format!("kubernetes.io/service-name={app}");
        let slices = self.cluster.get(&["get", "endpointslices", "-l", &selector, "-o", "json"])?;
        let slices: serde_json::Value = serde_json::from_str(&slices)?;
        let endpoints = slices["items"].as_array().into_iter().flatten().filter_map(|s| s["endpoints"].as_array());
        let ready = endpoints.flatten().filter(|endpoint| endpoint["conditions"]["ready"] == true);
        let sliced: BTreeSet<String> =
            ready.filter_map(|endpoint| endpoint["addresses"][0].as_str().map(str::to_owned)).collect();
        ensure!(sliced == wanted, "endpoint slices have {sliced:?}, pods {wanted:?}");
        for node in self.cluster.nodes() {
            let mapped = backends(self.cluster, &node, app)?;
            ensure!(mapped == wanted, "{node}: the map has {mapped:?}, pods {wanted:?}");
        }
        Ok(())
    }

    /// Ends the loads; what they counted.
    fn leave(self) -> anyhow::Result<Vec<String>> {
        let mut said = Vec::new();
        for load in self.loads {
            said.push(format!("node: {}", load.finish()?));
        }
        // No component was away for long: a node that is not ready takes its pods out of their Services.
        let silences = silences(self.cluster)?;
        ensure!(silences == self.silences, "nodes were not ready as often as:\n{}\nnow\n{silences}", self.silences);
        for pod in &self.asking {
            said.push(format!("pod: {}", self.cluster.get(&["logs", pod, "--tail=1"])?.trim()));
        }
        self.cluster.get(&["delete", "pods", "-l", "app=asking"])?;
        self.cluster.get(&["delete", "deployments,services", "steady", "rolling", "churn"])?;
        Ok(said)
    }
}
