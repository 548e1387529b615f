//! A containerd of its own, a kubelet on it in this process, a busybox image, and certificates; all gone when dropped.
#![expect(clippy::disallowed_methods, reason = "a test runs containerd and looks at the clock")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skep_node::config::{Api, Config, Tls};
use skep_node::cri::Runtime;
use skep_node::cri::observed::PodState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Image of the test pods.
pub const IMAGE: &str = "busybox:test";

/// Whether tests that need root are to run.
pub fn enabled() -> bool {
    let enabled = std::env::var_os("SKEP_TEST_ROOT").is_some();
    if !enabled {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
    }
    enabled
}

/// A node.
pub struct Node {
    pub directory: tempfile::TempDir,
    pub runtime: Runtime,
    pub port: u16,
    pub tls: Tls,
    pub ca: String,
    pub client: (String, String),
    cgroup: String,
    containerd: Child,
    kubelet: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

impl Node {
    /// Starts containerd and the kubelet, and loads the image.
    pub async fn start() -> Self {
        drop(tracing_subscriber::fmt().with_env_filter("skep_node=debug").with_test_writer().try_init());
        let directory = tempfile::Builder::new().prefix("skep-node-").tempdir().unwrap();
        let root = directory.path();
        for name in ["manifests", "kubelet", "logs", "cni", "pki"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let containerd = start_containerd(root);
        let runtime = Runtime::new(&format!("unix://{}", root.join("containerd.sock").display())).unwrap();
        wait("containerd answers", async || runtime.version().await.is_ok()).await;
        let archive = busybox(root);
        let names = skep_node::image::load(runtime.socket(), &archive).await.unwrap();
        assert_eq!(names, ["docker.io/library/busybox:test"]);
        wait("the image is there", async || matches!(runtime.image_status(IMAGE).await, Ok(Some(_)))).await;
        let (tls, ca, client) = certificates(&root.join("pki"));
        let cgroup = format!("/{}", root.file_name().unwrap().to_string_lossy());
        let port = free_port();
        let mut node = Self { directory, runtime, port, tls, ca, client, cgroup, containerd, kubelet: None };
        node.start_kubelet();
        node
    }

    pub fn start_kubelet(&mut self) {
        let root = self.directory.path();
        let config = Config {
            api: Api::None,
            node_name: "n1".to_owned(),
            node_ips: vec!["127.0.0.1".parse().unwrap()],
            root_dir: root.join("kubelet"),
            pod_log_dir: root.join("logs"),
            runtime_endpoint: format!("unix://{}", root.join("containerd.sock").display()),
            cgroup_root: self.cgroup.clone(),
            cluster_dns: vec![],
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            listen: ([127, 0, 0, 1], self.port).into(),
            tls: Some(self.tls.clone()),
            static_pods: Some(root.join("manifests")),
            file_check: Duration::from_millis(100),
            max_pods: 110,
            min_free_disk_percent: 0,
            labels: Default::default(),
            taints: vec![],
            pause_image: true,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(skep_node::run(config, stop.clone()));
        self.kubelet = Some((stop, task));
    }

    pub async fn stop_kubelet(&mut self) {
        let (stop, task) = self.kubelet.take().unwrap();
        stop.cancel();
        task.await.unwrap().unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a manifest; the pod's name is `name`, its network the node's.
    pub fn apply(&self, name: &str, mut spec: Value) {
        spec["hostNetwork"] = json!(true);
        spec["terminationGracePeriodSeconds"] = json!(2);
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = json!(IMAGE);
            }
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        fs::write(self.path("manifests").join(format!("{name}.json")), pod.to_string()).unwrap();
    }

    pub fn delete(&self, name: &str) {
        fs::remove_file(self.path("manifests").join(format!("{name}.json"))).unwrap();
    }

    /// What the runtime has of the pod.
    pub async fn state(&self, name: &str) -> PodState {
        let sandboxes = self.runtime.list_sandboxes(None).await.unwrap();
        let full = format!("{name}-n1");
        let found = sandboxes.into_iter().find(|s| s.metadata.as_ref().unwrap().name == full);
        let Some(found) = found else { return PodState::default() };
        self.runtime.observe(&found.metadata.unwrap().uid, &PodState::default()).await.unwrap()
    }

    /// The pod as the kubelet's server tells of it.
    pub async fn pod(&self, name: &str) -> Option<Value> {
        let list: Value = serde_json::from_str(&self.get("/pods").await.1).ok()?;
        let full = format!("{name}-n1");
        list["items"].as_array()?.iter().find(|pod| pod["metadata"]["name"] == full.as_str()).cloned()
    }

    /// Waits until the pod's status fulfils a condition; returns it.
    pub async fn wait_for(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let pod = self.pod(name).await.unwrap_or_default();
            if condition(&pod["status"]) {
                return pod["status"].clone();
            }
            assert!(started.elapsed() < Duration::from_secs(40), "{name}: waiting for {what}: {:#}", pod["status"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Status and body of a GET to the kubelet's server.
    pub async fn get(&self, path: &str) -> (u16, String) {
        super::streams::get(self, path).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((stop, task)) = self.kubelet.take() {
            stop.cancel();
            task.abort();
        }
        // Every process of the pods is in this node's cgroups.
        let cgroups = skep_node::cgroups::Cgroups::discover(&self.cgroup).unwrap();
        for round in 0..50 {
            let mut left = 0;
            for controller in ["memory", "pids", "cpu"] {
                let Some(directory) = cgroups.node_directory(controller) else { continue };
                left += kill_below(&directory);
            }
            if left == 0 && round > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.containerd.kill());
        drop(self.containerd.wait());
        kill_shims(self.directory.path());
        drop(skep_node::volumes::mounts::unmount_below(self.directory.path()));
        for uid in cgroups.pods() {
            drop(cgroups.remove_pod(&uid));
        }
        for mount in
            ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "unified", "systemd", ""]
        {
            let top = Path::new("/sys/fs/cgroup").join(mount).join(self.cgroup.trim_start_matches('/'));
            remove_groups(&top);
        }
    }
}

fn kill(pid: i32) {
    let result = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    // It may have ended by itself.
    if let Err(errno) = result
        && errno != nix::errno::Errno::ESRCH
    {
        eprintln!("kill {pid}: {errno}");
    }
}

/// containerd's shims outlive it; theirs are the processes that name its socket.
fn kill_shims(root: &Path) {
    let socket = root.join("containerd.sock").display().to_string();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if command.contains("containerd-shim") && command.split('\0').any(|argument| argument == socket) {
            kill(pid);
        }
    }
}

fn kill_below(directory: &Path) -> usize {
    let mut killed = 0;
    for pid in fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Ok(pid) = pid.parse() {
            killed += 1;
            kill(pid);
        }
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            killed += kill_below(&entry.path());
        }
    }
    killed
}

fn remove_groups(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    drop(fs::remove_dir(directory));
}

pub async fn wait(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(30), "waiting until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn start_containerd(root: &Path) -> Child {
    let shown = root.display();
    let config = format!(
        r#"version = 2
root = "{shown}/containerd"
state = "{shown}/state"
[grpc]
  address = "{shown}/containerd.sock"
[ttrpc]
  address = "{shown}/containerd.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "skep.local/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{shown}/cni"
    conf_dir = "{shown}/cni"
"#
    );
    fs::write(root.join("config.toml"), config).unwrap();
    let log = fs::File::create(root.join("containerd.log")).unwrap();
    Command::new("containerd")
        .arg("--config")
        .arg(root.join("config.toml"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("containerd is installed (cargo xtask setup)")
}

/// A docker archive with busybox and its applets.
fn busybox(root: &Path) -> PathBuf {
    let binary = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let binary = binary.expect("busybox-static is installed (cargo xtask setup)");
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(binary.len() as u64);
    layer.append_data(&mut header, "bin/busybox", binary.as_slice()).unwrap();
    for applet in [
        "sh", "sleep", "echo", "cat", "true", "false", "ls", "id", "touch", "rm", "env", "nc", "httpd", "test", "date",
        "hostname", "stat", "head", "printf", "seq", "kill", "mkdir",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let diff = skep_node::image::archive::digest(&layer);
    let config = json!({"architecture": skep_node::image::pause::architecture(), "os": "linux",
        "config": {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "echo default; sleep 1000"]},
        "rootfs": {"type": "layers", "diff_ids": [diff]}})
    .to_string();
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).to_string();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in
        [("layer.tar", layer.as_slice()), ("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    let path = root.join("busybox.tar");
    fs::write(&path, archive.into_inner().unwrap()).unwrap();
    path
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Files of the server, and authority and client certificate as PEM.
fn certificates(directory: &Path) -> (Tls, String, (String, String)) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test authority");
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(params, ca_key);
    let leaf = |name: &str, group: &str| {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let server = leaf("system:node:n1", "system:nodes");
    let client = leaf("kube-apiserver-kubelet-client", "system:masters");
    let tls = Tls {
        certificate: directory.join("server.crt"),
        key: directory.join("server.key"),
        client_ca: directory.join("ca.crt"),
    };
    fs::write(&tls.certificate, server.0).unwrap();
    fs::write(&tls.key, server.1).unwrap();
    fs::write(&tls.client_ca, &ca).unwrap();
    (tls, ca, client)
}
