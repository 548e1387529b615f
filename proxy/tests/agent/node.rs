//! A node: namespaces of its own for network and mounts, a bpffs, a cgroup, an uplink that leads nowhere; and the
//! agent on it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use skep_proxy::datapath::TypedMaps;
use skep_proxy::view::View;
use skep_proxy::{Args, Config};
use skep_proxy_ebpf::pins::PinDirectory;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::ApiServer;

static NEXT: AtomicU32 = AtomicU32::new(0);
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) struct Node {
    directory: tempfile::TempDir,
    cgroup: PathBuf,
}

impl Node {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let cgroups = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 hierarchy");
        let root = cgroups.split(' ').nth(4).expect("a mount point");
        let cgroup = PathBuf::from(root).join(format!("skep-test-agent-{}-{number}", std::process::id()));
        fs::create_dir(&cgroup).expect("a cgroup");

        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("new namespaces");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("private mounts");
        let directory = tempfile::tempdir().expect("a directory");
        let node = Self { directory, cgroup };
        let bpffs = node.path("bpf");
        fs::create_dir_all(&bpffs).expect("a mount point");
        mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>).expect("bpffs");
        for command in [
            "link set lo up",
            "link add up0 type veth peer name up1",
            "address add 10.89.0.11/24 dev up0",
            "address add fd00:10:89::1/64 dev up0 nodad",
            "link set up0 up",
            "link set up1 up",
        ] {
            node.ip(command);
        }
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn pins(&self) -> PinDirectory {
        PinDirectory::new(self.path("bpf/skep"))
    }

    /// Runs ip; what it says, or nothing when it fails.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let output = Command::new("ip").args(arguments.split(' ')).output().expect("run ip");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn conflist(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path("net.d/10-skep.conflist")).ok()?).ok()
    }

    pub(crate) fn view(&self) -> Option<View> {
        View::read(&self.pins(), &self.path("view")).ok()
    }

    pub(crate) fn delete_frontends(&self) {
        let maps = TypedMaps::open(&self.pins()).expect("the maps");
        let keys: Vec<_> = maps.services.dump().expect("the frontends").into_iter().map(|(key, _)| key).collect();
        maps.services.delete_all(&keys).expect("delete them");
    }

    /// Elements of the map of frontends.
    pub(crate) fn frontends(&self) -> usize {
        TypedMaps::open(&self.pins()).ok().and_then(|maps| Some(maps.services.dump().ok()?.len())).unwrap_or(0)
    }

    fn kubeconfig(&self, api: &ApiServer) -> PathBuf {
        let path = self.path("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", api.address)}}],
            "users": [{"name": "test", "user": {}}],
        });
        fs::write(&path, text.to_string()).expect("write the kubeconfig");
        path
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.pins().root()));
        drop(fs::remove_dir(&self.cgroup));
        // Busy while a map is open; the namespace takes the mount with it.
        if let Err(error) = nix::mount::umount(&self.path("bpf")) {
            eprintln!("the test's bpffs stays mounted: {error}");
        }
    }
}

/// An agent at work.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    healthz: SocketAddr,
}

impl Running {
    pub(crate) fn start(node: &Node, api: &ApiServer) -> Self {
        let healthz: SocketAddr = "127.0.0.1:10256".parse().expect("an address");
        let args = Args {
            kubeconfig: Some(node.kubeconfig(api)),
            node_name: Some("n1".to_owned()),
            pin_dir: node.pins().root().to_owned(),
            cgroup: Some(node.cgroup.clone()),
            cni_conf_dir: node.path("net.d"),
            cni_state_dir: node.path("state"),
            cni_version: "1.0.0".to_owned(),
            uplink: None,
            service_cidr: Vec::new(),
            non_masquerade_cidr: Vec::new(),
            healthz_bind_address: healthz,
            view_dir: node.path("view"),
            audit_interval: 1,
        };
        let stop = CancellationToken::new();
        let config = Config::try_from(args).expect("a configuration");
        let run = skep_proxy::run(config, stop.clone());
        let task = tokio::spawn(async move { run.await.inspect_err(|error| eprintln!("the agent ended: {error:#}")) });
        Self { stop, task, healthz }
    }

    pub(crate) async fn is_healthy(&self) -> bool {
        let mut stream = tokio::net::TcpStream::connect(self.healthz).await.expect("the health server");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("ask");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"nodeEligible\":true")
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean end");
    }
}
