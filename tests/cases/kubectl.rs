//! Real kubectl: what users type. What needs no pods is said by the scripts in `kubectl/` and runs against a control plane alone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::script::Script;

use crate::workload::{deploy, pods};

/// Topics that need no nodes.
pub(crate) const WITHOUT_NODES: [Script<'_>; 7] = [
    topic("create", include_str!("kubectl/create.script")),
    topic("get", include_str!("kubectl/get.script")),
    topic("describe", include_str!("kubectl/describe.script")),
    topic("change", include_str!("kubectl/change.script")),
    topic("apply", include_str!("kubectl/apply.script")),
    topic("wrong", include_str!("kubectl/wrong.script")),
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

/// What scripts cannot say: a terminal at both ends, and a port of a pod on this machine.
#[expect(clippy::disallowed_methods, reason = "the terminal is another program")]
pub(crate) fn terminals(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "terminals", 1)?;
    let (pod, ..) = pods(cluster, "terminals")?.into_iter().next().context("a pod")?;
    let exec = cluster.kubectl(&["exec", "-it", &pod, "--", "sh"]);
    let words: Vec<_> =
        std::iter::once(exec.get_program()).chain(exec.get_args()).map(|w| w.to_string_lossy()).collect();
    let line = format!("stty rows 33 cols 77; {}", words.join(" "));
    let mut terminal = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start script (of Debian's bsdutils)")?;
    terminal.stdin.take().context("no standard input")?.write_all(b"tty; stty size; exit 4\n")?;
    let out = terminal.wait_with_output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    ensure!(out.status.code() == Some(4), "exec -it: {}: {said}", out.status);
    ensure!(said.contains("/dev/pts/") && said.contains("33 77"), "exec -it: {said}");

    let mut forward =
        cluster.kubectl(&["port-forward", &format!("pod/{pod}"), ":8080"]).stdout(Stdio::piped()).spawn()?;
    let answer = forward.stdout.take().context("no standard output").and_then(hostname_through);
    forward.kill()?;
    forward.wait()?;
    ensure!(answer.as_ref().is_ok_and(|text| text.contains(&pod)), "port-forward: {answer:?}");
    Ok(())
}

/// What the pod at the other end of `kubectl port-forward` calls itself.
fn hostname_through(output: ChildStdout) -> anyhow::Result<String> {
    let mut line = String::new();
    // kubectl goes on printing to it.
    let mut output = BufReader::new(output);
    output.read_line(&mut line)?;
    let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
    let mut stream = TcpStream::connect(address.with_context(|| format!("no address in {line:?}"))?)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /hostname HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A namespace with everything in it, made, rolled out twice and removed.
pub(crate) fn life(cluster: &Cluster) -> anyhow::Result<()> {
    let says = |args: &[&str], wanted: &str| -> anyhow::Result<()> {
        let said = cluster.get(&[&["-n", "life"], args].concat())?;
        ensure!(said.contains(wanted), "kubectl {}: no {wanted:?} in:\n{said}", args.join(" "));
        Ok(())
    };
    let rolled_out = || says(&["rollout", "status", "deployment/d", "--timeout=60s"], "successfully rolled out");
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

#[cfg(test)]
mod tests {
    use skep_tests::machine;
    use skep_tests::server::Server;

    use super::WITHOUT_NODES;

    /// The scripts need no root, but kubectl and our binary.
    #[test]
    fn kubectl_and_a_control_plane() {
        if !machine::is_prepared() {
            return;
        }
        let server = Server::up().unwrap();
        let only = std::env::var("SKEP_CASE").unwrap_or_default();
        let chosen = WITHOUT_NODES.iter().filter(|script| script.topic.contains(&only));
        // Each has a namespace of its own, so they run side by side.
        let failed: Vec<String> = std::thread::scope(|scope| {
            let server = &server;
            let threads: Vec<_> = chosen.map(|s| (s, scope.spawn(|| s.run(|args| server.kubectl(args))))).collect();
            let results = threads.into_iter().map(|(script, thread)| (script.topic, thread.join().unwrap()));
            results
                .inspect(|(topic, result)| {
                    eprintln!("script {topic}: {}", if result.is_ok() { "ok" } else { "FAILED" })
                })
                .filter_map(|(_, result)| result.err().map(|error| format!("{error:#}")))
                .collect()
        });
        assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    }
}
