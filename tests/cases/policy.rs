//! Network policies as users write them, on a whole cluster.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::eventually;

use crate::workload::{address, deploy, pods};

const PATIENCE: Duration = Duration::from_secs(30);

/// A policy for the pods of `app`.
fn policy(name: &str, app: &str, rest: &str) -> String {
    format!(
        r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}}}
spec:
  podSelector: {{matchLabels: {{app: {app}}}}}
{rest}
"#
    )
}

/// Waits until a pod is answered, or is not.
fn comes_to(cluster: &Cluster, wanted: bool, pod: &str, url: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, || {
        let answered = cluster.in_pod(pod, &["get", url]);
        ensure!(answered.is_ok() == wanted, "{pod} from {url}: {answered:?}");
        Ok(())
    })
}

pub(crate) fn who_may_ask_whom(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "guarded", 2)?;
    deploy(cluster, "guest", 1)?;
    let url = format!("http://{}", address(cluster, "guarded")?);
    let (guest, ..) = pods(cluster, "guest")?.into_iter().next().context("a pod")?;
    let (guarded, ..) = pods(cluster, "guarded")?.into_iter().next().context("a pod")?;
    let peer = pods(cluster, "guarded")?.pop().map(|(_, _, ip)| format!("http://{ip}:8080")).context("two pods")?;
    comes_to(cluster, true, &guest, &url)?;

    cluster.apply(&policy("deny", "guarded", "  policyTypes: [Ingress]"))?;
    comes_to(cluster, false, &guest, &url)?;
    comes_to(cluster, false, &guarded, &peer)?;
    // A pod made now is under the policy from its first packet, and its own node's probes reach it.
    cluster.get(&["scale", "deployment/guarded", "--replicas=3"])?;
    cluster.get(&["rollout", "status", "deployment/guarded", "--timeout=60s"])?;
    for (_, _, ip) in pods(cluster, "guarded")? {
        let asked = cluster.in_pod(&guest, &["get", &format!("http://{ip}:8080")]);
        ensure!(asked.is_err(), "{ip} answers: {asked:?}");
    }

    let from_guests = "  ingress: [{from: [{podSelector: {matchLabels: {app: guest}}}], ports: [{port: http}]}]";
    cluster.apply(&policy("guests", "guarded", from_guests))?;
    comes_to(cluster, true, &guest, &url)?;
    comes_to(cluster, false, &guarded, &peer)?;

    let not_there = "  policyTypes: [Egress]\n  egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]";
    cluster.apply(&policy("stay", "guest", not_there))?;
    comes_to(cluster, false, &guest, &url)?;

    cluster.get(&["delete", "networkpolicies", "--all"])?;
    comes_to(cluster, true, &guest, &url)?;
    comes_to(cluster, true, &guarded, &peer)?;
    cluster.get(&["delete", "deployments,services", "guarded", "guest", "--wait=false"]).map(drop)
}
