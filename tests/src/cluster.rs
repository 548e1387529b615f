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
}

impl Cluster {
    /// Starts one and loads the test images.
    ///
    /// # Errors
    /// What `skep up` says.
    pub fn up(nodes: u32) -> anyhow::Result<Self> {
        let name = machine::random_name("t");
        let kubeconfig = std::env::temp_dir().join(format!("skep-test-{name}.kubeconfig"));
        let cluster = Self { name, kubeconfig, nodes };
        cluster.start()?;
        let archives = [machine::image("busybox.tar")?, machine::image("endpoint.tar")?];
        machine::output(cluster.skep()?.args(["image", "load", "--name", &cluster.name]).args(archives))?;
        Ok(cluster)
    }

    /// `skep up`: also starts again what was killed.
    ///
    /// # Errors
    /// What it says.
    pub fn start(&self) -> anyhow::Result<()> {
        let nodes = self.nodes.to_string();
        let args = ["up", "--name", &self.name, "--nodes", &nodes, "--uplink", "none", "--kubeconfig"];
        machine::output(self.skep()?.args(args).arg(&self.kubeconfig)).map(drop)
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
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
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

    /// A program on a node, to be started.
    ///
    /// # Errors
    /// When the binary is not known.
    pub fn node_command(&self, node: &str, program: &Path) -> anyhow::Result<Command> {
        let mut command = self.skep()?;
        command.args(["node", "exec", "--name", &self.name, node, "--"]).arg(program);
        Ok(command)
    }

    /// New and kept connections to `target` from a node, until `seconds` have passed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn load(&self, node: &str, target: &str, seconds: u64) -> anyhow::Result<Load> {
        let child = self
            .node_command(node, &machine::image("endpoint")?)?
            .args(["load", target, &seconds.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Load(child))
    }

    /// SIGKILL to a component: `server`, or `containerd`, `kubelet`, `agent` of a node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, component: &str, node: Option<&str>) -> anyhow::Result<()> {
        let mut file = PathBuf::from("/run/skep/clusters").join(&self.name);
        file.extend(node);
        let file = file.join(format!("{component}.pid"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let pid = text.split(' ').next().unwrap_or_default();
        machine::output(Command::new("kill").args(["-KILL", pid]))?;
        let gone = PathBuf::from("/proc").join(pid);
        machine::eventually(Duration::from_secs(5), || {
            let state = std::fs::read_to_string(gone.join("stat")).unwrap_or_default();
            if gone.exists() && !state.contains(") Z ") { bail!("{component} still runs") } else { Ok(()) }
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::env::var_os("SKEP_TEST_KEEP").is_some() {
            eprintln!("kept: cluster {} (skep down --name {})", self.name, self.name);
            return;
        }
        let removed = self.skep().and_then(|mut skep| {
            machine::output(skep.args(["down", "--name", &self.name, "--kubeconfig"]).arg(&self.kubeconfig))
        });
        if let Err(error) = removed {
            eprintln!("the cluster was not removed: {error:#}");
        }
        if let Err(error) = std::fs::remove_file(&self.kubeconfig) {
            eprintln!("{}: {error}", self.kubeconfig.display());
        }
    }
}

/// A client that counts its failures.
#[derive(Debug)]
pub struct Load(Child);

impl Load {
    /// Waits for its end.
    ///
    /// # Errors
    /// When a request failed, with what it said.
    pub fn finish(self) -> anyhow::Result<String> {
        let out = self.0.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() {
            bail!("{said}{}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(said)
    }
}
