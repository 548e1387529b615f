//! What the agent works by: checked, with defaults filled in. From [`crate::args`]; to [`crate::agent`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use skep_proxy_ebpf::pins::PinDirectory;

use crate::args::Args;

/// Ranges of ClusterIPs that fit into the map.
pub const MAX_SERVICE_CIDRS: usize = 4;

/// The agent's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Kubeconfig file; `None` in a pod.
    pub kubeconfig: Option<PathBuf>,
    /// This node's name.
    pub node_name: String,
    /// Where everything is pinned.
    pub pins: PinDirectory,
    /// The node's cgroup, of a cgroup2 hierarchy.
    pub cgroup: PathBuf,
    /// The CNI configuration.
    pub cni: Cni,
    /// Device towards other nodes.
    pub uplink: Option<String>,
    /// Ranges of ClusterIPs, beside those the API names.
    pub service_cidrs: Vec<IpNetwork>,
    /// Ranges reached without masquerade.
    pub direct: Vec<IpNetwork>,
    /// Address of the health server.
    pub healthz: SocketAddr,
    /// Where names for views are kept.
    pub view_dir: PathBuf,
    /// Between two audits.
    pub audit_interval: Duration,
}

/// What the network configuration says besides the node's ranges.
#[derive(Clone, Debug)]
pub struct Cni {
    /// Where the configuration goes.
    pub conf_dir: PathBuf,
    /// Where the plugin keeps reservations.
    pub state_dir: PathBuf,
    /// `cniVersion`.
    pub version: String,
}

/// Why the agent cannot work this way.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Too many ranges.
    #[error("--service-cidr: at most {MAX_SERVICE_CIDRS} ranges, {given} are given")]
    ServiceCidrs {
        /// How many were given.
        given: usize,
    },
    /// The host has no usable name.
    #[error("the host has no name: set --node-name")]
    NodeName,
    /// There is no cgroup2 hierarchy.
    #[error("no cgroup2 file system is mounted: mount one, or set --cgroup")]
    Cgroup,
    /// A path that must be absolute.
    #[error("--{name} must be an absolute path: {}", path.display())]
    Relative {
        /// The option.
        name: &'static str,
        /// Its value.
        path: PathBuf,
    },
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let absolute = |name, path: PathBuf| {
            if path.is_absolute() { Ok(path) } else { Err(ConfigError::Relative { name, path }) }
        };
        let given = args.service_cidr.len();
        if given > MAX_SERVICE_CIDRS {
            return Err(ConfigError::ServiceCidrs { given });
        }
        let host_name = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let node_name = args.node_name.or_else(host_name).filter(|name| !name.is_empty());
        Ok(Self {
            kubeconfig: args.kubeconfig,
            // Kubelets register the host's name in lower case.
            node_name: node_name.ok_or(ConfigError::NodeName)?.to_lowercase(),
            pins: PinDirectory::new(absolute("pin-dir", args.pin_dir)?),
            cgroup: match args.cgroup {
                Some(path) => absolute("cgroup", path)?,
                None => cgroup2_mount().ok_or(ConfigError::Cgroup)?,
            },
            cni: Cni {
                conf_dir: absolute("cni-conf-dir", args.cni_conf_dir)?,
                state_dir: absolute("cni-state-dir", args.cni_state_dir)?,
                version: args.cni_version,
            },
            uplink: args.uplink,
            service_cidrs: args.service_cidr,
            direct: args.non_masquerade_cidr,
            healthz: args.healthz_bind_address,
            view_dir: absolute("view-dir", args.view_dir)?,
            audit_interval: Duration::from_secs(args.audit_interval),
        })
    }
}

fn cgroup2_mount() -> Option<PathBuf> {
    mount_point(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, "cgroup2")
}

/// The mount point of the first file system of a type: `… <mount point> … - <type> …`.
fn mount_point(mountinfo: &str, file_system: &str) -> Option<PathBuf> {
    let is_it = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.split(' ').next() == Some(file_system));
    mountinfo.lines().find(is_it)?.split(' ').nth(4).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_is_found_on_hybrid_systems() {
        let mountinfo = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n31 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mountinfo, "cgroup2"), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_point(mountinfo, "bpf"), None);
    }
}
