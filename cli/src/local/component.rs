//! The programs of a local cluster, each with its command line. From the plan; to [`super::process`].

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::cgroup;
use super::network::UPLINK;
use super::plan::{Node, Plan, Storage};
use super::process::Process;

/// The control plane, in the host's namespace.
pub(crate) fn server(plan: &Plan) -> anyhow::Result<Process> {
    let (pods4, pods6) = (plan.pods_v4(), plan.pods_v6());
    let (services4, services6) = (plan.services_v4(), plan.services_v6());
    let me = me()?;
    let mut command = vec![
        me.display().to_string(),
        "server".into(),
        format!("--data-dir={}", plan.server_directory().display()),
        format!("--bind={}", plan.server_address()),
        format!("--service-cidr={}/{},{}/{}", services4.0, services4.1, services6.0, services6.1),
        format!("--cluster-cidr={}/{},{}/{}", pods4.0, pods4.1, pods6.0, pods6.1),
    ];
    if plan.storage == Storage::Etcd {
        let pki = pki_directory(plan);
        command.extend([
            format!("--etcd-endpoints=https://{}", plan.etcd_addresses()[0]),
            format!("--etcd-cafile={}", pki.join("etcd/ca.crt").display()),
            format!("--etcd-certfile={}", pki.join("apiserver-etcd-client.crt").display()),
            format!("--etcd-keyfile={}", pki.join("apiserver-etcd-client.key").display()),
        ]);
    }
    Ok(Process {
        name: "server".into(),
        skep: me,
        run_directory: plan.run_directory(),
        log: plan.server_directory().join("server.log"),
        cgroup: format!("{}/server", plan.cgroup()),
        namespace: None,
        command,
    })
}

/// Where the control plane's keys are.
pub(crate) fn pki_directory(plan: &Plan) -> PathBuf {
    plan.server_directory().join("pki")
}

/// The cluster's own etcd, beside the control plane: a single member that only the API server has a key for.
pub(crate) fn etcd(plan: &Plan) -> anyhow::Result<Process> {
    let program = find("etcd").context("etcd is not installed: apt-get install etcd-server")?;
    let pki = pki_directory(plan).join("etcd");
    let [client, peer] = plan.etcd_addresses().map(|address| format!("https://{address}"));
    let mut command = vec![
        program.display().to_string(),
        format!("--name={}", plan.name),
        format!("--data-dir={}", plan.etcd_directory().display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={}={peer}", plan.name),
        "--logger=zap".into(),
        "--log-level=warn".into(),
        "--client-cert-auth".into(),
        "--peer-client-cert-auth".into(),
    ];
    for side in ["", "peer-"] {
        command.extend([
            format!("--{side}trusted-ca-file={}", pki.join("ca.crt").display()),
            format!("--{side}cert-file={}", pki.join("server.crt").display()),
            format!("--{side}key-file={}", pki.join("server.key").display()),
        ]);
    }
    Ok(Process {
        name: "etcd".into(),
        skep: me()?,
        run_directory: plan.run_directory(),
        log: plan.server_directory().join("etcd.log"),
        cgroup: format!("{}/etcd", plan.cgroup()),
        namespace: None,
        command,
    })
}

/// A node's runtime.
pub(crate) fn containerd(plan: &Plan, node: &Node) -> anyhow::Result<Process> {
    let program = find("containerd").context("containerd is not installed: apt-get install containerd")?;
    node_process(
        plan,
        node,
        "containerd",
        vec![
            program.display().to_string(),
            format!("--config={}", plan.node_directory(node).join("containerd.toml").display()),
            "--log-level=warn".into(),
        ],
    )
}

/// A node's kubelet.
pub(crate) fn kubelet(plan: &Plan, node: &Node) -> anyhow::Result<Process> {
    let directory = plan.node_directory(node);
    let dns = crate::commands::server::dns_address(plan.services_v4().0.into());
    node_process(
        plan,
        node,
        "kubelet",
        vec![
            me()?.display().to_string(),
            "kubelet".into(),
            format!("--kubeconfig={}", directory.join("kubelet.kubeconfig").display()),
            format!("--node-name={}", node.name),
            format!("--node-ip={},{}", node.ipv4, node.ipv6),
            format!("--root-dir={}", directory.join("kubelet").display()),
            format!("--pod-log-dir={}", directory.join("logs/pods").display()),
            format!("--container-runtime-endpoint=unix://{}", plan.containerd_socket(node).display()),
            format!("--cgroup-root={}", plan.node_cgroup(node)),
            format!("--cluster-dns={dns}"),
            "--cluster-domain=cluster.local".into(),
            // Without an uplink the machine's resolvers cannot be reached.
            "--resolv-conf=/dev/null".into(),
            // A developer's disk is often fuller than a node's should be.
            "--min-free-disk-percent=0".into(),
            format!("--listen={}:10250", node.ipv4),
            format!("--tls-cert={}", directory.join("kubelet.crt").display()),
            format!("--tls-key={}", directory.join("kubelet.key").display()),
            format!("--client-ca={}", directory.join("ca.crt").display()),
        ],
    )
}

/// A node's network agent.
pub(crate) fn agent(plan: &Plan, node: &Node) -> anyhow::Result<Process> {
    let directory = plan.node_directory(node);
    let cgroup = cgroup::ensure(&plan.node_cgroup(node))?;
    node_process(
        plan,
        node,
        "agent",
        vec![
            me()?.display().to_string(),
            "proxy".into(),
            format!("--kubeconfig={}", directory.join("agent.kubeconfig").display()),
            format!("--node-name={}", node.name),
            format!("--pin-dir={}", plan.pin_directory(node).display()),
            format!("--cgroup={}", cgroup.display()),
            format!("--cni-conf-dir={}", directory.join("cni/net.d").display()),
            format!("--cni-state-dir={}", directory.join("cni/state").display()),
            format!("--uplink={UPLINK}"),
        ],
    )
}

fn node_process(plan: &Plan, node: &Node, name: &str, command: Vec<String>) -> anyhow::Result<Process> {
    Ok(Process {
        name: name.into(),
        skep: me()?,
        run_directory: plan.node_run_directory(node),
        log: plan.node_directory(node).join(format!("logs/{name}.log")),
        cgroup: format!("{}/system", plan.node_cgroup(node)),
        namespace: Some(plan.namespace(node)),
        command,
    })
}

/// Starts again what ends, in the host's namespace.
pub(crate) fn supervisor(plan: &Plan) -> anyhow::Result<Process> {
    let me = me()?;
    let run_directory = plan.run_directory();
    let command =
        [&me, Path::new("node"), Path::new("supervise"), &run_directory].map(|word| word.display().to_string());
    Ok(Process {
        name: "supervisor".into(),
        skep: me,
        run_directory,
        log: plan.directory().join("supervisor.log"),
        cgroup: format!("{}/supervisor", plan.cgroup()),
        namespace: None,
        command: command.into(),
    })
}

fn me() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("find our own binary")
}

/// Where a program lies on PATH, or in the directories that a root shell may lack.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(Into::into))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}
