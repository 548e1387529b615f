//! Real kubectl: what users type. What needs no pods is said by the scripts in `kubectl/` and runs against a control plane alone.

use anyhow::{Context as _, bail, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine;
use skep_tests::script::Script;
use skep_tests::server::Server;

/// Topics that need no nodes.
pub(crate) const WITHOUT_NODES: [Script<'_>; 10] = [
    topic("create", include_str!("kubectl/create.script")),
    topic("get", include_str!("kubectl/get.script")),
    topic("watch", include_str!("kubectl/watch.script")),
    topic("describe", include_str!("kubectl/describe.script")),
    topic("change", include_str!("kubectl/change.script")),
    topic("subresource", include_str!("kubectl/subresource.script")),
    topic("apply", include_str!("kubectl/apply.script")),
    topic("wrong", include_str!("kubectl/wrong.script")),
    topic("rights", include_str!("kubectl/rights.script")),
    topic("discovery", include_str!("kubectl/discovery.script")),
];

const fn topic(topic: &'static str, text: &'static str) -> Script<'static> {
    Script { topic, text, variables: &[] }
}

/// Everything that needs running containers.
pub(crate) fn pods_and_nodes(cluster: &Cluster) -> anyhow::Result<()> {
    let node = cluster.nodes().last().context("a node")?;
    let variables = [("node", node.as_str())];
    let script = Script { topic: "pods", text: include_str!("kubectl/pods.script"), variables: &variables };
    script.run(|args| cluster.kubectl(args))
}

/// A namespace with everything in it, made, rolled out twice and removed.
pub(crate) fn life(cluster: &Cluster) -> anyhow::Result<()> {
    let says = |args: &[&str], wanted: &str| -> anyhow::Result<()> {
        let said = cluster.get(&[&["-n", "life"], args].concat())?;
        ensure!(said.contains(wanted), "kubectl {}: no {wanted:?} in:\n{said}", args.join(" "));
        Ok(())
    };
    let rolled_out = || says(&["rollout", "status", "deployment/d", "--timeout=120s"], "successfully rolled out");
    says(&["create", "namespace", "life"], "namespace/life created")?;
    says(&["create", "deployment", "d", "--image=skep.test/endpoint:1", "--replicas=2"], "deployment.apps/d created")?;
    rolled_out()?;
    says(&["expose", "deployment", "d", "--port=80", "--target-port=8080"], "service/d exposed")?;
    says(&["scale", "--replicas=3", "deployment", "d"], "deployment.apps/d scaled")?;
    says(&["set", "env", "deployment/d", "A=2"], "env updated")?;
    rolled_out()?;
    says(&["rollout", "history", "deployment/d"], "2")?;
    says(&["rollout", "undo", "deployment/d"], "rolled back")?;
    says(&["rollout", "restart", "deployment/d"], "restarted")?;
    says(&["get", "nodes", "-o", "wide"], "containerd://")?;
    says(&["delete", "namespace", "life", "--timeout=120s"], "deleted")?;
    let left = cluster.get(&["get", "namespace", "life", "--ignore-not-found"])?;
    ensure!(left.is_empty(), "the namespace is still there: {left}");
    Ok(())
}

/// Every kind explains itself, down to its last field.
pub(crate) fn explained(server: &Server) -> anyhow::Result<()> {
    let kinds = machine::output(&mut server.kubectl(&["api-resources", "--no-headers"]))?;
    let mut wrong = Vec::new();
    for line in kinds.lines() {
        // NAME SHORTNAMES APIVERSION NAMESPACED KIND, where short names may be missing.
        let words: Vec<&str> = line.split_whitespace().collect();
        let ([name, ..], [.., version, _, kind]) = (words.as_slice(), words.as_slice()) else { bail!("{line:?}") };
        let version = format!("--api-version={version}");
        let said = machine::output(&mut server.kubectl(&["explain", name, &version, "--recursive"]));
        let whole = |said: &String| {
            let of_kind = said.lines().any(|line| line.starts_with("KIND:") && line.ends_with(kind));
            of_kind && said.contains("DESCRIPTION:") && said.contains("FIELDS:")
        };
        if !said.as_ref().is_ok_and(whole) {
            wrong.push(format!("explain {name} {version}: {said:?}"));
        }
    }
    ensure!(wrong.is_empty() && kinds.lines().count() > 50, "{}\n{kinds}", wrong.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use skep_tests::machine;
    use skep_tests::server::Server;

    use super::{WITHOUT_NODES, explained};
    use crate::tests::machine_alone;

    /// The scripts need no root, but kubectl and our binary.
    #[test]
    fn kubectl_and_a_control_plane() {
        if !machine::is_prepared() {
            return;
        }
        let _alone = machine_alone();
        let server = &Server::up().unwrap();
        let only = std::env::var("SKEP_CASE").unwrap_or_default();
        // Each has a namespace of its own, so they run side by side.
        let failed: Vec<String> = std::thread::scope(|scope| {
            let scripts = WITHOUT_NODES.iter().filter(|script| script.topic.contains(&only));
            let mut threads: Vec<_> =
                scripts.map(|s| (s.topic, scope.spawn(|| s.run(|args| server.kubectl(args))))).collect();
            if "explain".contains(&only) {
                threads.push(("explain", scope.spawn(|| explained(server))));
            }
            let results = threads.into_iter().map(|(topic, thread)| (topic, thread.join().unwrap()));
            results
                .inspect(|(topic, result)| {
                    eprintln!("kubectl {topic}: {}", if result.is_ok() { "ok" } else { "FAILED" })
                })
                .filter_map(|(_, result)| result.err().map(|error| format!("{error:#}")))
                .collect()
        });
        assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    }
}
