//! What the agent is told on the command line. To [`crate::config`].

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

/// The node's network agent: makes Services work and joins the pod networks of the nodes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Kubeconfig file; without it, the service account of the pod this runs in.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Name of this node's Node object; the host's name if not given.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// Where programs, maps and links are pinned: a directory in a bpffs, one per node.
    #[arg(long, default_value = skep_proxy_ebpf::pins::DEFAULT_PIN_DIRECTORY)]
    pub pin_dir: PathBuf,
    /// The cgroup below which processes see Services; the root of the cgroup2 hierarchy if not given.
    #[arg(long)]
    pub cgroup: Option<PathBuf>,
    /// Where the container runtime looks for network configurations.
    #[arg(long, default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,
    /// Where the CNI plugin keeps reservations.
    #[arg(long, default_value = "/var/lib/skep/cni")]
    pub cni_state_dir: PathBuf,
    /// Version of the network configuration: what the container runtime reads (containerd 1.6 and older: 1.0.0).
    #[arg(long, default_value = "1.0.0", value_parser = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])]
    pub cni_version: String,
    /// Device towards other nodes and the world; the one with the node's address if not given.
    #[arg(long)]
    pub uplink: Option<String>,
    /// Ranges of ClusterIPs, beside those the API names: what no Service has of them is refused.
    #[arg(long, value_delimiter = ',')]
    pub service_cidr: Vec<IpNetwork>,
    /// Ranges outside the cluster that see pods' own addresses.
    #[arg(long, value_delimiter = ',')]
    pub non_masquerade_cidr: Vec<IpNetwork>,
    /// Address of /healthz and /livez.
    #[arg(long, default_value = "0.0.0.0:10256")]
    pub healthz_bind_address: SocketAddr,
    /// Where names for `skep svc` are kept.
    #[arg(long, default_value = crate::names::DEFAULT_DIRECTORY)]
    pub view_dir: PathBuf,
    /// Seconds between two comparisons of the kernel with what is wanted.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub audit_interval: u64,
}
