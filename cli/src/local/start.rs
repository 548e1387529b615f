//! Starts a local cluster, or what is missing of one. From the plan; to a cluster whose nodes are Ready.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use skep_pki::kubeconfig::Kubeconfig;
use skep_pki::{ClusterPki, KeyedCertificate, Names, Request};
use tokio::time::Instant;

use super::component::{agent, containerd, etcd, find, kubelet, pki_directory, server, supervisor};
use super::plan::{Node, Plan, Storage};
use super::process::Process;
use super::{agent_role, cgroup, containerd as runtime, network};

/// How long a machine may take before we say what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes everything of the plan that is not there yet; `say` tells the user about each step.
pub(crate) async fn cluster(plan: &Plan, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    preflight()?;
    network::ensure_bridge(plan).await.context("set up the bridge")?;
    say(&format!("bridge {} ({})", plan.bridge(), plan.host_addresses().0));
    let pki = ClusterPki::ensure(&pki_directory(plan), &names(plan))?;
    if plan.storage == Storage::Etcd {
        pki.ensure_etcd(vec![plan.host_addresses().0.into()])?;
        let etcd = etcd(plan)?;
        if etcd.ensure()? {
            say(&format!("etcd at https://{}", plan.etcd_addresses()[0]));
        }
        listens(&etcd, plan.etcd_addresses()[0]).await?;
    }
    let server = server(plan)?;
    if server.ensure()? {
        say(&format!("API server, controllers and scheduler at https://{}", plan.server_address()));
    }
    let admin = kubeconfig(plan, &pki, &plan.user(), pki.admin()?);
    admin.write(&plan.admin_kubeconfig())?;
    let client = client(&plan.admin_kubeconfig()).await?;
    ready(&client, &server).await?;
    agent_role::ensure(&client).await?;

    for node in plan.nodes() {
        network::ensure_node(plan, &node).await?;
        write_node_files(plan, &node, &pki)?;
        let runtime = containerd(plan, &node)?;
        let started = [&runtime, &kubelet(plan, &node)?, &agent(plan, &node)?]
            .map(|process| process.ensure().map(|new| new.then(|| process.name.clone())));
        let started: Vec<String> =
            started.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
        if !started.is_empty() {
            say(&format!("node {} ({}): {}", node.name, node.ipv4, started.join(", ")));
        }
    }
    supervisor(plan)?.ensure()?;
    nodes_ready(plan, &client).await?;
    say(&format!("{} nodes Ready", plan.nodes));
    Ok(())
}

/// What must be on the machine; each refusal names the fix.
fn preflight() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("a local cluster needs root (network namespaces, eBPF): run it with sudo");
    }
    for (program, fix) in [("containerd", "apt-get install containerd"), ("runc", "apt-get install runc")] {
        find(program).with_context(|| format!("{program} is not installed: {fix}"))?;
    }
    cgroup::unified()?;
    let bpffs = Path::new("/sys/fs/bpf");
    let kind = nix::sys::statfs::statfs(bpffs).context("look at /sys/fs/bpf")?.filesystem_type();
    if kind != nix::sys::statfs::BPF_FS_MAGIC {
        nix::mount::mount(Some("bpf"), bpffs, Some("bpf"), nix::mount::MsFlags::empty(), None::<&str>)
            .context("mount the BPF file system at /sys/fs/bpf")?;
    }
    Ok(())
}

/// The names in the API server's certificate: as `skep server` computes them, so that neither makes the other's anew.
pub(crate) fn names(plan: &Plan) -> Names {
    let service = |network: IpAddr| crate::commands::server::first_address(network);
    Names {
        dns: Vec::new(),
        addresses: vec![
            IpAddr::from([127, 0, 0, 1]),
            plan.host_addresses().0.into(),
            service(plan.services_v4().0.into()),
            service(plan.services_v6().0.into()),
        ],
        domain: "cluster.local".into(),
    }
}

fn kubeconfig(plan: &Plan, pki: &ClusterPki, user: &str, credentials: KeyedCertificate) -> Kubeconfig {
    Kubeconfig {
        context: plan.context(),
        user: user.to_owned(),
        server: format!("https://{}", plan.server_address()),
        ca_pem: pki.ca().cert_pem().to_owned(),
        credentials,
    }
}

/// A node's certificates and configuration: made once, kept over restarts.
fn write_node_files(plan: &Plan, node: &Node, pki: &ClusterPki) -> anyhow::Result<()> {
    let directory = plan.node_directory(node);
    fs::create_dir_all(directory.join("cni/net.d"))?;
    fs::create_dir_all(directory.join("cni/bin"))?;
    fs::create_dir_all(plan.node_run_directory(node))?;
    keep(&directory.join("ca.crt"), pki.ca().cert_pem())?;
    if !directory.join("kubelet.kubeconfig").exists() {
        let certificate = pki.kubelet(&node.name, vec![node.ipv4.into(), node.ipv6.into()])?;
        write_secret(&directory.join("kubelet.key"), &certificate.key_pem)?;
        fs::write(directory.join("kubelet.crt"), &certificate.cert_pem)?;
        kubeconfig(plan, pki, &format!("system:node:{}", node.name), certificate)
            .write(&directory.join("kubelet.kubeconfig"))?;
    }
    if !directory.join("agent.kubeconfig").exists() {
        let certificate = pki.ca().issue(&Request::client("system:kube-proxy", Some(agent_role::GROUP)))?;
        kubeconfig(plan, pki, "system:kube-proxy", certificate).write(&directory.join("agent.kubeconfig"))?;
    }
    keep(&directory.join("containerd.toml"), &runtime::config(plan, node, skep_node::image::pause::NAME))?;
    install_plugin(&directory.join("cni/bin"))
}

/// Writes a file that says something else, or is not there.
fn keep(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

/// skep-cni lies beside skep; a copy under the node survives an upgrade of either. Replaced by rename: the runtime may be executing it.
fn install_plugin(directory: &Path) -> anyhow::Result<()> {
    let source = std::env::current_exe()?.with_file_name("skep-cni");
    if !source.exists() {
        bail!("{} is missing: skep-cni is installed beside skep", source.display());
    }
    let installed = directory.join("skep-cni");
    let new = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
    if fs::read(&installed).ok().as_ref() != Some(&new) {
        let beside = directory.join("skep-cni.new");
        fs::copy(&source, &beside).with_context(|| format!("copy {}", source.display()))?;
        fs::rename(&beside, &installed).context("install skep-cni")?;
    }
    // Runtimes before containerd 1.7 execute a plugin named `loopback`; ours answers to that name too.
    let loopback = directory.join("loopback");
    match std::os::unix::fs::symlink("skep-cni", &loopback) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("link {}", loopback.display()))
        }
        _ => Ok(()),
    }
}

/// A client with the rights of a kubeconfig file.
pub(crate) async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let document =
        kube::config::Kubeconfig::read_from(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(document, &kube::config::KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Waits until a process takes connections.
async fn listens(process: &Process, address: SocketAddr) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while let Err(error) = tokio::net::TcpStream::connect(address).await {
        if process.pid()?.is_none() {
            bail!("{} ended; the end of {}:\n{}", process.name, process.log.display(), process.last_words());
        }
        if Instant::now() > end {
            let log = process.log.display();
            return Err(error)
                .with_context(|| format!("{} does not listen after {PATIENCE:?}; see {log}", process.name));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn ready(client: &Client, server: &Process) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let request = http::Request::get("/readyz").body(Vec::new()).context("make a request")?;
        match client.request_text(request).await {
            Ok(text) if text == "ok" => return Ok(()),
            Ok(_) | Err(_) if server.pid()?.is_none() => {
                bail!("the API server ended; the end of {}:\n{}", server.log.display(), server.last_words())
            }
            Ok(_) | Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(text) => bail!("the API server is not ready after {PATIENCE:?}: {text}"),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("the API server does not answer after {PATIENCE:?}; see {}", server.log.display())
                });
            }
        }
    }
}

/// Watches nodes until all of the plan are Ready.
async fn nodes_ready(plan: &Plan, client: &Client) -> anyhow::Result<()> {
    let mut waiting: Vec<Node> = plan.nodes().collect();
    let watch = async {
        let mut nodes = watcher(Api::<ApiNode>::all(client.clone()), watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(node) = nodes.try_next().await? {
            if is_ready(&node) {
                waiting.retain(|n| node.metadata.name.as_deref() != Some(n.name.as_str()));
            }
            if waiting.is_empty() {
                return anyhow::Ok(());
            }
        }
        bail!("the watch of nodes ended")
    };
    if let Ok(done) = tokio::time::timeout(PATIENCE, watch).await {
        return done;
    }
    let mut report = String::new();
    for node in &waiting {
        for process in [containerd(plan, node)?, kubelet(plan, node)?, agent(plan, node)?] {
            let state = if process.pid()?.is_some() { "runs" } else { "has ended" };
            report.push_str(&format!(
                "\nnode {}: {} {state}; the end of {}:\n{}\n",
                node.name,
                process.name,
                process.log.display(),
                process.last_words()
            ));
        }
    }
    bail!("not Ready after {PATIENCE:?}: {report}")
}

fn is_ready(node: &ApiNode) -> bool {
    node.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == "Ready" && c.status == "True")
}
