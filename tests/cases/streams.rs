//! What scripts cannot say of streams through the API server: a terminal at both ends, more bytes than any window holds, ports of pods on this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;

use crate::workload::{deploy, pods};

/// More than all buffers on the way together.
const LARGE: usize = 10 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// The only pod of a Deployment of one.
fn pod_of(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    deploy(cluster, name, 1)?;
    pods(cluster, name)?.into_iter().next().map(|(pod, ..)| pod).context("a pod")
}

/// Runs kubectl on a terminal of 33 lines and 77 columns, and types; how it ended and what the terminal showed.
#[expect(clippy::disallowed_methods, reason = "the terminal is another program")]
fn typed(kubectl: &Command, keys: &str) -> anyhow::Result<(ExitStatus, String)> {
    let words: Vec<_> =
        std::iter::once(kubectl.get_program()).chain(kubectl.get_args()).map(|w| w.to_string_lossy()).collect();
    let line = format!("stty rows 33 cols 77; {}", words.join(" "));
    let mut terminal = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start script (of Debian's bsdutils)")?;
    terminal.stdin.take().context("no standard input")?.write_all(keys.as_bytes())?;
    let out = terminal.wait_with_output()?;
    Ok((out.status, String::from_utf8_lossy(&out.stdout).into_owned()))
}

pub(crate) fn terminals(cluster: &Cluster) -> anyhow::Result<()> {
    let pod = pod_of(cluster, "terminals")?;
    let (status, said) = typed(&cluster.kubectl(&["exec", "-it", &pod, "--", "sh"]), "tty; stty size; exit 4\n")?;
    ensure!(status.code() == Some(4), "exec -it: {status}: {said}");
    ensure!(said.contains("/dev/pts/") && said.contains("33 77"), "exec -it: {said}");

    cluster.apply(
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "typewriter"}, "spec": {"restartPolicy": "Never", "containers": [
            {"name": "c", "image": "skep.test/busybox:1", "command": ["sh"], "stdin": true, "tty": true}]}}"#,
    )?;
    cluster.get(&["wait", "--for=condition=Ready", "pod/typewriter", "--timeout=120s"])?;
    let (status, said) =
        typed(&cluster.kubectl(&["attach", "-it", "typewriter"]), "tty; stty size; echo $((6 * 7)); exit\n")?;
    ensure!(status.success(), "attach -it: {status}: {said}");
    ensure!(["/dev/pts/", "33 77", "42"].iter().all(|wanted| said.contains(wanted)), "attach -it: {said}");
    cluster.get(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/typewriter", "--timeout=120s"])?;
    cluster.get(&["delete", "pod", "typewriter"]).map(drop)
}

/// Bytes that show when some are missing, doubled or out of order.
fn pattern(length: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(length).collect()
}

pub(crate) fn large_input(cluster: &Cluster) -> anyhow::Result<()> {
    let pod = pod_of(cluster, "terminals")?;
    let sent = pattern(LARGE);
    let mut exec = cluster
        .kubectl(&["exec", "-i", &pod, "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = exec.stdin.take().context("no standard input")?;
    let (written, out) = std::thread::scope(|scope| {
        let sent = &sent;
        let writer = scope.spawn(move || stdin.write_all(sent));
        let out = exec.wait_with_output();
        (writer.join(), out)
    });
    let out = out?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success() && written.is_ok_and(|written| written.is_ok()),
        "exec -i cat: {}: {said}",
        out.status
    );
    let same = sent.iter().zip(&out.stdout).take_while(|(sent, back)| sent == back).count();
    ensure!(out.stdout == sent, "{} of {LARGE} bytes came back, {same} of them right: {said}", out.stdout.len());
    Ok(())
}

/// `kubectl port-forward`; ended when dropped.
struct Forward {
    kubectl: Child,
    address: SocketAddr,
    /// Where it goes on saying what it does.
    _output: BufReader<ChildStdout>,
}

impl Forward {
    fn start(cluster: &Cluster, target: &str, port: &str) -> anyhow::Result<Self> {
        let mut kubectl = cluster.kubectl(&["port-forward", target, port]).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(kubectl.stdout.take().context("no standard output")?);
        let mut line = String::new();
        let read = output.read_line(&mut line);
        let mut address = None;
        if read.is_ok() {
            let words = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
            address = words.and_then(|word| word.parse().ok());
        }
        if address.is_none() {
            drop(kubectl.kill());
            drop(kubectl.wait());
        }
        let address = address.with_context(|| format!("port-forward {target} {port}: no address in {line:?}"))?;
        Ok(Self { kubectl, address, _output: output })
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// What the pod at the other end calls itself.
    fn host_name(&self) -> anyhow::Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(b"GET /hostname HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Sends bytes to the echo at the other end; what comes back.
    fn echo(&self, sent: &[u8]) -> anyhow::Result<Vec<u8>> {
        let stream = self.connect()?;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (&stream).write_all(sent));
            let mut back = vec![0; sent.len()];
            (&stream).read_exact(&mut back)?;
            writer.join().unwrap_or(Ok(()))?;
            Ok(back)
        })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        drop(self.kubectl.kill());
        drop(self.kubectl.wait());
    }
}

pub(crate) fn forwarded_ports(cluster: &Cluster) -> anyhow::Result<()> {
    let pod = &pod_of(cluster, "forwarded")?;
    for (target, port) in [
        (format!("pod/{pod}"), ":8080"),
        ("deployment/forwarded".to_owned(), ":http"),
        ("service/forwarded".to_owned(), ":80"),
    ] {
        let forward = &Forward::start(cluster, &target, port)?;
        let answers: Vec<anyhow::Result<String>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| forward.host_name())).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).collect()
        });
        let right =
            answers.iter().filter(|answer| answer.as_ref().is_ok_and(|text| text.contains(pod.as_str()))).count();
        ensure!(right == 8, "port-forward {target} {port}: {answers:?}");
    }
    let forward = &Forward::start(cluster, "service/forwarded", ":echo")?;
    let sent = &pattern(LARGE / 10);
    let same: Vec<bool> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| forward.echo(sent))).collect();
        clients.into_iter().map(|client| client.join().is_ok_and(|back| back.is_ok_and(|back| back == *sent))).collect()
    });
    ensure!(same == [true; 4], "four streams through one port-forward: {same:?}");
    Ok(())
}
