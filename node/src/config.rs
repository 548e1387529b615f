//! Settings of the kubelet, checked; from [`args`](crate::args); to [`run`](mod@crate::run). Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;
use kube::Client;

use crate::args::Args;

/// How the kubelet reaches the API.
#[derive(Clone)]
pub enum Api {
    /// By a kubeconfig file.
    Kubeconfig(PathBuf),
    /// By a ready client (server and kubelet in one process).
    Client(Client),
    /// Not at all: static pods only.
    None,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kubeconfig(path) => formatter.debug_tuple("Kubeconfig").field(path).finish(),
            Self::Client(_) => formatter.write_str("Client"),
            Self::None => formatter.write_str("None"),
        }
    }
}

/// Certificates of the kubelet's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Serving certificate (PEM file).
    pub certificate: PathBuf,
    /// Its key (PEM file).
    pub key: PathBuf,
    /// Authority of client certificates (PEM file).
    pub client_ca: PathBuf,
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the API.
    pub api: Api,
    /// Name of the node.
    pub node_name: String,
    /// Addresses of the node, the preferred one first; not empty.
    pub node_ips: Vec<IpAddr>,
    /// Where volumes and pod files live.
    pub root_dir: PathBuf,
    /// Where container logs are written.
    pub pod_log_dir: PathBuf,
    /// `unix://` address of the runtime.
    pub runtime_endpoint: String,
    /// Cgroup below which pods run.
    pub cgroup_root: String,
    /// Addresses of the cluster's DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster.
    pub cluster_domain: String,
    /// Resolver configuration that pods inherit.
    pub resolv_conf: PathBuf,
    /// Address of the kubelet's server.
    pub listen: SocketAddr,
    /// Its certificates; no server without.
    pub tls: Option<Tls>,
    /// Directory of static pod manifests.
    pub static_pods: Option<PathBuf>,
    /// Time between looks at that directory.
    pub file_check: Duration,
    /// Most pods on the node.
    pub max_pods: u32,
    /// Free disk below which the node is under disk pressure, in per cent; 0 for never.
    pub min_free_disk_percent: u8,
    /// Labels to register with.
    pub labels: BTreeMap<String, String>,
    /// Taints to register with.
    pub taints: Vec<Taint>,
    /// Whether the pause image is stored in containerd at start.
    pub pause_image: bool,
}

/// A flag that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// No node name.
    #[error("--node-name is missing, and the host name cannot be read")]
    NodeName,
    /// No node address.
    #[error("--node-ip is missing: give the address that other nodes reach this node by")]
    NodeIp,
    /// Two addresses of one family, or more than two.
    #[error("--node-ip takes at most one address of each family")]
    NodeIps,
    /// Not `key=value`.
    #[error("--node-labels: {0:?} is not key=value")]
    Label(String),
    /// Not `key=value:Effect`.
    #[error("--register-with-taints: {0:?} is not key=value:Effect (NoSchedule, PreferNoSchedule or NoExecute)")]
    Taint(String),
    /// A server certificate without an authority for clients.
    #[error("--client-ca is missing: without it nobody could be let in")]
    ClientCa,
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let own_name = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let node_name = args.node_name.or_else(own_name).ok_or(ConfigError::NodeName)?.to_lowercase();
        if args.node_ip.is_empty() {
            return Err(ConfigError::NodeIp);
        }
        let families = args.node_ip.iter().filter(|ip| ip.is_ipv4()).count();
        if families > 1 || args.node_ip.len() - families > 1 {
            return Err(ConfigError::NodeIps);
        }
        let tls = match (args.tls_cert, args.tls_key, args.client_ca) {
            (Some(certificate), Some(key), Some(client_ca)) => Some(Tls { certificate, key, client_ca }),
            (Some(_), _, None) => return Err(ConfigError::ClientCa),
            _ => None,
        };
        Ok(Self {
            api: args.kubeconfig.map_or(Api::None, Api::Kubeconfig),
            node_name,
            node_ips: args.node_ip,
            root_dir: args.root_dir,
            pod_log_dir: args.pod_log_dir,
            runtime_endpoint: args.container_runtime_endpoint,
            cgroup_root: args.cgroup_root,
            cluster_dns: args.cluster_dns,
            cluster_domain: args.cluster_domain,
            resolv_conf: args.resolv_conf,
            listen: args.listen,
            tls,
            static_pods: args.pod_manifest_path,
            file_check: Duration::from_secs(args.file_check_seconds.max(1)),
            max_pods: args.max_pods,
            min_free_disk_percent: args.min_free_disk_percent,
            labels: args.node_labels.iter().map(|text| label(text)).collect::<Result<_, _>>()?,
            taints: args.register_with_taints.iter().map(|text| taint(text)).collect::<Result<_, _>>()?,
            pause_image: !args.no_pause_image,
        })
    }
}

fn label(text: &str) -> Result<(String, String), ConfigError> {
    let (key, value) = text.split_once('=').ok_or_else(|| ConfigError::Label(text.to_owned()))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn taint(text: &str) -> Result<Taint, ConfigError> {
    let bad = || ConfigError::Taint(text.to_owned());
    let (pair, effect) = text.rsplit_once(':').ok_or_else(bad)?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(bad());
    }
    let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value.to_owned())));
    Ok(Taint { effect: effect.to_owned(), key: key.to_owned(), value, ..Taint::default() })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn config(flags: &str) -> Result<Config, ConfigError> {
        let flags = std::iter::once("kubelet").chain(flags.split_whitespace());
        Config::try_from(Cli::try_parse_from(flags).unwrap().args)
    }

    #[test]
    fn reads_flags() {
        let config =
            config("--node-name N1 --node-ip 10.0.0.1,fd00::1 --node-labels a=b --register-with-taints k=v:NoSchedule")
                .unwrap();
        assert_eq!(config.node_name, "n1");
        assert_eq!(config.labels["a"], "b");
        assert_eq!(config.taints[0].value.as_deref(), Some("v"));
        assert_eq!(config.max_pods, 110);
    }

    #[test]
    fn names_the_flag_that_is_wrong() {
        assert_eq!(config("--node-name n").unwrap_err(), ConfigError::NodeIp);
        assert_eq!(config("--node-name n --node-ip 1.1.1.1,2.2.2.2").unwrap_err(), ConfigError::NodeIps);
        assert!(config("--node-name n --node-ip 1.1.1.1 --register-with-taints k:Never").is_err());
        let error = config("--node-name n --node-ip 1.1.1.1 --tls-cert a --tls-key b").unwrap_err();
        assert_eq!(error, ConfigError::ClientCa);
    }
}
