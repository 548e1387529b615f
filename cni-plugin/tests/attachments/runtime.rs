//! A containerd of a test's own in the node's namespaces: its CRI executes the plugin. There is no kubelet, no agent and no API server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{self as cri};
use nix::mount::{MsFlags, mount};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::node::{Call, Node};

/// Its entry point serves HTTP and stays, so it does as the image of sandboxes; busybox is in it.
const IMAGE: &str = "skep.test/endpoint:1";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Runtime {
    directory: PathBuf,
    /// Below every cgroup hierarchy.
    cgroup: String,
    containerd: Child,
    io: tokio::runtime::Runtime,
}

/// A sandbox as the runtime tells of it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) ips: Vec<String>,
}

impl Runtime {
    /// Starts containerd and brings the image in. `network` is the plugin's configuration.
    pub(crate) fn start(node: &Node, network: &Call) -> Self {
        let directory = node.directory().join("runtime");
        for name in ["bin", "net.d", "logs"] {
            fs::create_dir_all(directory.join(name)).expect("a directory");
        }
        // Shims have their sockets there, whatever the runtime's own directories are.
        fs::create_dir_all("/run/containerd").expect("/run/containerd");
        mount(Some("tmpfs"), "/run/containerd", Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a tmpfs");
        for name in ["skep-cni", "loopback"] {
            let plugin = Path::new(env!("CARGO_BIN_EXE_skep-cni"));
            std::os::unix::fs::symlink(plugin, directory.join("bin").join(name)).expect("link the plugin");
        }
        let plugins = serde_json::json!({"cniVersion": "1.0.0", "name": "test", "plugins": [network.config()]});
        fs::write(directory.join("net.d/10-test.conflist"), plugins.to_string()).expect("write the conflist");
        fs::write(directory.join("config.toml"), config(&directory)).expect("write the configuration");
        let cgroup = format!("skep-cni-{}", directory.parent().and_then(Path::file_name).expect("a name").display());
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of tasks");
        let containerd = spawn(&directory, &cgroup);
        let runtime = Self { directory, cgroup, containerd, io };
        runtime.answers();
        let images = PathBuf::from(std::env::var_os("SKEP_IMAGE_DIR").expect("SKEP_IMAGE_DIR is set by cargo xtask"));
        runtime.ctr(&["images", "import", &images.join("endpoint.tar").display().to_string()]);
        runtime
    }

    /// SIGKILL, and a new one on the same directories.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.containerd.kill().expect("kill containerd");
        self.containerd.wait().expect("wait for containerd");
        eventually("plugins that it had started end", || !self.processes().iter().any(|name| name == "skep-cni"));
        self.containerd = spawn(&self.directory, &self.cgroup);
        self.answers();
    }

    fn answers(&self) {
        let request = || cri::StatusRequest { verbose: false };
        let ready = || {
            let status = self.io.block_on(async { self.client().status(request()).await }).ok()?;
            let conditions = status.into_inner().status?.conditions;
            Some(conditions.iter().all(|condition| condition.status))
        };
        eventually("containerd and its network are ready", || ready() == Some(true));
    }

    /// Names of the processes that run beside the sandboxes: containerd, shims, plugins.
    fn processes(&self) -> Vec<String> {
        let procs = directories(&self.cgroup).into_iter().map(|d| d.join("system/cgroup.procs"));
        let pids = procs.filter_map(|file| fs::read_to_string(file).ok()).collect::<String>();
        pids.lines()
            .filter_map(|pid| Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned()))
            .collect()
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("sock")
    }

    fn client(&self) -> RuntimeServiceClient<Channel> {
        let socket = self.socket();
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(socket).await?)) }
        });
        RuntimeServiceClient::new(Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect))
    }

    pub(crate) fn ctr(&self, args: &[&str]) -> String {
        let mut ctr = Command::new("ctr");
        let out = ctr
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io"])
            .args(args)
            .output()
            .expect("run ctr");
        assert!(out.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Runs a program inside a sandbox.
    pub(crate) fn inside(&self, sandbox: &Sandbox, args: &[&str]) -> String {
        self.ctr(&[&["tasks", "exec", "--exec-id", "test", &sandbox.id], args].concat())
    }

    fn sandbox_config(&self, name: &str) -> cri::PodSandboxConfig {
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.directory.join("logs").display().to_string(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: format!("/{}", self.cgroup),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(crate) fn run(&self, name: &str) -> Sandbox {
        let request =
            cri::RunPodSandboxRequest { config: Some(self.sandbox_config(name)), runtime_handler: String::new() };
        let answer = self.io.block_on(async { self.client().run_pod_sandbox(request).await }).expect("a sandbox");
        let id = answer.into_inner().pod_sandbox_id;
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false };
        let answer = self.io.block_on(async { self.client().pod_sandbox_status(request).await }).expect("its status");
        let network = answer.into_inner().status.and_then(|status| status.network).expect("its network");
        let ips = [network.ip].into_iter().chain(network.additional_ips.into_iter().map(|ip| ip.ip)).collect();
        Sandbox { id, ips }
    }

    /// Asks for a sandbox and does not wait longer than this for the answer.
    pub(crate) fn begin(&self, name: &str, wait: Duration) {
        let request =
            cri::RunPodSandboxRequest { config: Some(self.sandbox_config(name)), runtime_handler: String::new() };
        let answer =
            self.io.block_on(async { tokio::time::timeout(wait, self.client().run_pod_sandbox(request)).await });
        eprintln!("{name}: {} after {wait:?}", if answer.is_ok() { "made" } else { "not yet made" });
    }

    /// Every sandbox that the runtime knows.
    pub(crate) fn sandboxes(&self) -> Vec<String> {
        let request = cri::ListPodSandboxRequest { filter: None };
        let answer = self.io.block_on(async { self.client().list_pod_sandbox(request).await }).expect("the sandboxes");
        answer.into_inner().items.into_iter().map(|sandbox| sandbox.id).collect()
    }

    pub(crate) fn remove(&self, id: &str) {
        let stop = cri::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.io.block_on(async { self.client().stop_pod_sandbox(stop).await }).expect("stop the sandbox");
        let remove = cri::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.io.block_on(async { self.client().remove_pod_sandbox(remove).await }).expect("remove the sandbox");
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        for directory in directories(&self.cgroup) {
            drop(fs::write(directory.join("cgroup.kill"), "1"));
        }
        drop(self.containerd.kill());
        drop(self.containerd.wait());
        let begin = Instant::now();
        while directories(&self.cgroup).iter().any(|directory| !remove_groups(directory)) && begin.elapsed() < PATIENCE
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn spawn(directory: &Path, cgroup: &str) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("the log");
    let child = Command::new("containerd")
        .arg("--config")
        .arg(directory.join("config.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("start containerd");
    // In cgroup v2, which can end all that is in it; what containerd starts is born there.
    let unified = mounts("cgroup2").into_iter().next().expect("cgroup v2").join(cgroup).join("system");
    fs::create_dir_all(&unified).expect("a cgroup");
    fs::write(unified.join("cgroup.procs"), child.id().to_string()).expect("move containerd");
    child
}

fn config(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r#"version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{directory}/sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{directory}/bin"
    conf_dir = "{directory}/net.d"
"#
    )
}

/// Where a kind of cgroup file system is mounted.
fn mounts(kind: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    let of_kind = table.lines().filter(|line| line.split_once(" - ").is_some_and(|(_, fs)| fs.starts_with(kind)));
    of_kind.filter_map(|line| line.split(' ').nth(4).map(PathBuf::from)).collect()
}

/// A cgroup in every hierarchy that has it.
fn directories(cgroup: &str) -> Vec<PathBuf> {
    mounts("cgroup").into_iter().map(|mount| mount.join(cgroup)).filter(|directory| directory.exists()).collect()
}

/// Children first.
fn remove_groups(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let children = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    children.filter(|child| !remove_groups(&child.path())).count() == 0 && fs::remove_dir(directory).is_ok()
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
