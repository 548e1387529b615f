//! The flags of `skep kubelet`; from the command line; to [`config`](crate::config). Pure.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Flags of the kubelet. Names follow upstream's where there is one.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Kubeconfig that says where the API server is and who we are; without it only static pods run.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Name of this node.
    #[arg(long, alias = "hostname-override")]
    pub node_name: Option<String>,
    /// Addresses of this node, at most one of each family, the preferred one first.
    #[arg(long, value_delimiter = ',')]
    pub node_ip: Vec<IpAddr>,
    /// Where volumes and pod files live.
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// Where container logs are written.
    #[arg(long, default_value = "/var/log/pods")]
    pub pod_log_dir: PathBuf,
    /// Socket of the container runtime (CRI v1).
    #[arg(long, default_value = "unix:///run/containerd/containerd.sock")]
    pub container_runtime_endpoint: String,
    /// Cgroup below which pods run (`kubepods` is made in it).
    #[arg(long, default_value = "/")]
    pub cgroup_root: String,
    /// Addresses of the cluster's DNS.
    #[arg(long, value_delimiter = ',')]
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Resolver configuration that pods inherit; empty for none.
    #[arg(long, default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// Address of the kubelet's own server (logs, exec, metrics).
    #[arg(long, default_value = "0.0.0.0:10250")]
    pub listen: SocketAddr,
    /// Serving certificate (PEM).
    #[arg(long, requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the serving certificate (PEM).
    #[arg(long, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Authority whose client certificates the server accepts (PEM).
    #[arg(long)]
    pub client_ca: Option<PathBuf>,
    /// Directory of static pod manifests.
    #[arg(long, alias = "static-pod-path")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Seconds between looks at the manifest directory.
    #[arg(long, default_value_t = 5)]
    pub file_check_seconds: u64,
    /// Most pods on this node.
    #[arg(long, default_value_t = 110)]
    pub max_pods: u32,
    /// Free disk below which the node is under disk pressure, in per cent; 0 for never.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..100))]
    pub min_free_disk_percent: u8,
    /// Labels to register with, `key=value`.
    #[arg(long, value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// Taints to register with, `key=value:Effect`.
    #[arg(long, value_delimiter = ',')]
    pub register_with_taints: Vec<String>,
    /// Do not store the pause image in containerd (its `sandbox_image` is another one).
    #[arg(long)]
    pub no_pause_image: bool,
}
