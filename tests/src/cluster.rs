//! A local cluster made by `skep up` for one test, removed by `skep down`; kept with its logs when `SKEP_TEST_KEEP` is set.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::machine;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    kubeconfig: PathBuf,
    nodes: u32,
    storage: &'static str,
}

impl Cluster {
    /// Starts one and loads the test images.
    ///
    /// # Errors
    /// What `skep up` says.
    pub fn up(nodes: u32) -> anyhow::Result<Self> {
        Self::up_on(nodes, "embedded")
    }

    /// The same on another storage than the embedded one.
    ///
    /// # Errors
    /// What `skep up` says.
    pub fn up_on(nodes: u32, storage: &'static str) -> anyhow::Result<Self> {
        let cluster = Self::planned(nodes, storage);
        cluster.start()?;
        let archives = [machine::image("busybox.tar")?, machine::image("endpoint.tar")?];
        machine::output(cluster.skep()?.args(["image", "load", "--name", &cluster.name]).args(archives))?;
        Ok(cluster)
    }

    /// One that nobody has started yet.
    #[must_use]
    pub fn planned(nodes: u32, storage: &'static str) -> Self {
        let name = machine::random_name("t");
        let kubeconfig = std::env::temp_dir().join(format!("skep-test-{name}.kubeconfig"));
        Self { name, kubeconfig, nodes, storage }
    }

    /// `skep up`, and what it says: also starts again what was killed.
    ///
    /// # Errors
    /// What it says.
    pub fn start(&self) -> anyhow::Result<String> {
        machine::output(&mut self.up_command()?)
    }

    /// `skep up`, killed after so long.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_and_kill(&self, after: Duration) -> anyhow::Result<()> {
        let mut up = self.up_command()?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(after);
        up.kill()?;
        up.wait()?;
        Ok(())
    }

    /// `skep down`, which needs no other program.
    ///
    /// # Errors
    /// What it says.
    pub fn remove(&self) -> anyhow::Result<()> {
        let args = ["down", "--name", &self.name, "--kubeconfig"];
        machine::output(self.skep()?.args(args).arg(&self.kubeconfig).env("PATH", "")).map(drop)
    }

    fn up_command(&self) -> anyhow::Result<Command> {
        let nodes = self.nodes.to_string();
        let args = ["up", "--name", &self.name, "--nodes", &nodes, "--storage", self.storage, "--uplink", "none"];
        let mut up = self.skep()?;
        up.args(args).arg("--kubeconfig").arg(&self.kubeconfig);
        Ok(up)
    }

    /// The `skep` command.
    ///
    /// # Errors
    /// When the binary is not known.
    pub fn skep(&self) -> anyhow::Result<Command> {
        Ok(Command::new(machine::binary("skep")?))
    }

    /// Its name, as in `--name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of its nodes.
    pub fn nodes(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.nodes).map(|number| format!("{}-{number}", self.name))
    }

    /// Real kubectl, as administrator.
    #[must_use]
    pub fn kubectl(&self, args: &[&str]) -> Command {
        machine::kubectl(&self.kubeconfig, args)
    }

    /// kubectl's output.
    ///
    /// # Errors
    /// With its standard error, when it fails.
    pub fn get(&self, args: &[&str]) -> anyhow::Result<String> {
        machine::output(&mut self.kubectl(args))
    }

    /// `kubectl apply -f -`.
    ///
    /// # Errors
    /// With its standard error, when it fails.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        let mut command = self.kubectl(&["apply", "-f", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start kubectl")?;
        child.stdin.take().context("kubectl has no standard input")?.write_all(manifest.as_bytes())?;
        let out = child.wait_with_output()?;
        if !out.status.success() {
            bail!("kubectl apply: {}\n{manifest}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Runs the `endpoint` program inside a pod.
    ///
    /// # Errors
    /// With its standard error, when it fails.
    pub fn in_pod(&self, pod: &str, args: &[&str]) -> anyhow::Result<String> {
        self.get(&[&["exec", pod, "--", "/bin/endpoint"], args].concat())
    }

    /// Runs the `endpoint` program on a node.
    ///
    /// # Errors
    /// With its standard error, when it fails.
    pub fn on_node(&self, node: &str, args: &[&str]) -> anyhow::Result<String> {
        machine::output(self.node_command(node, &machine::image("endpoint")?)?.args(args))
    }

    /// A Service as a node's kernel has it.
    ///
    /// # Errors
    /// What `skep svc` says.
    pub fn service_view(&self, node: &str, service: &str) -> anyhow::Result<serde_json::Value> {
        let args = ["svc", "get", service, "--name", &self.name, "--node", node, "-o", "json"];
        Ok(serde_json::from_str(&machine::output(self.skep()?.args(args))?)?)
    }

    /// A program on a node, to be started.
    ///
    /// # Errors
    /// When the binary is not known.
    pub fn node_command(&self, node: &str, program: &Path) -> anyhow::Result<Command> {
        let mut command = self.skep()?;
        command.args(["node", "exec", "--name", &self.name, node, "--"]).arg(program);
        Ok(command)
    }

    /// New and kept connections to `target` from a node, until [`Load::finish`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn load(&self, node: &str, target: &str) -> anyhow::Result<Load> {
        let failures = std::env::temp_dir().join(machine::random_name(&format!("{node}-load-")));
        let file = std::fs::File::create(&failures).with_context(|| format!("create {}", failures.display()))?;
        let child = self
            .node_command(node, &machine::image("endpoint")?)?
            .args(["load", target, "eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()?;
        Ok(Load { child: Some(child), failures })
    }

    /// Where its objects are.
    #[must_use]
    pub fn storage(&self) -> &str {
        self.storage
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Process id of a component: `supervisor`, `server` or `etcd`, or `containerd`, `kubelet`, `agent` of a node.
    ///
    /// # Errors
    /// When it was never started.
    pub fn pid(&self, component: &str, node: Option<&str>) -> anyhow::Result<String> {
        let mut file = PathBuf::from("/run/skep/clusters").join(&self.name);
        file.extend(node);
        let file = file.join(format!("{component}.pid"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(text.split(' ').next().unwrap_or_default().to_owned())
    }

    /// The same while it runs.
    ///
    /// # Errors
    /// When it was never started.
    pub fn process(&self, component: &str, node: Option<&str>) -> anyhow::Result<Option<u32>> {
        let pid = self.pid(component, node)?.parse().with_context(|| format!("process id of {component}"))?;
        Ok(is_alive(pid).then_some(pid))
    }

    /// SIGKILL to a component; its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, component: &str, node: Option<&str>) -> anyhow::Result<u32> {
        let pid = self.process(component, node)?.with_context(|| format!("{component} does not run"))?;
        machine::output(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
        machine::eventually(Duration::from_secs(30), || {
            if is_alive(pid) { bail!("{component} still runs") } else { Ok(pid) }
        })
    }

    /// Waits until a component that was killed runs again though nobody called `up`.
    ///
    /// # Errors
    /// When it does not.
    pub fn comes_back(&self, component: &str, node: Option<&str>) -> anyhow::Result<u32> {
        machine::eventually(Duration::from_secs(40), || {
            self.process(component, node)?.with_context(|| format!("{component} of {node:?} does not come back"))
        })
    }
}

/// Whether a process runs: one that ended and waits for its parent does not.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::env::var_os("SKEP_TEST_KEEP").is_some() {
            eprintln!("kept: cluster {} (skep down --name {})", self.name, self.name);
            return;
        }
        if let Err(error) = self.remove() {
            eprintln!("the cluster was not removed: {error:#}");
        }
        // One that never came up has written none.
        drop(std::fs::remove_file(&self.kubeconfig));
    }
}

/// A client that counts its failures.
#[derive(Debug)]
pub struct Load {
    child: Option<Child>,
    failures: PathBuf,
}

impl Load {
    /// Fails as soon as one request has failed.
    ///
    /// # Errors
    /// With what the requests said.
    pub fn unbroken(&self) -> anyhow::Result<()> {
        let failures = std::fs::read_to_string(&self.failures).context("read the failures")?;
        if failures.is_empty() { Ok(()) } else { bail!("failed requests:\n{failures}") }
    }

    /// Ends it; what it counted.
    ///
    /// # Errors
    /// When a request failed, with what it said.
    pub fn finish(mut self) -> anyhow::Result<String> {
        // Its standard input ends here, and with it the load.
        let out = self.child.take().context("ended before")?.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        self.unbroken().with_context(|| said.clone())?;
        if !out.status.success() {
            bail!("{said} ({})", out.status);
        }
        Ok(said)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            drop(child.wait());
        }
        drop(std::fs::remove_file(&self.failures));
    }
}
