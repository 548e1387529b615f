//! Flags and settings of the controllers. From the command line; to [`crate::runner`]. Pure.

use clap::Args as ClapArgs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Command line of the controllers.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Ranges from which nodes get their pod ranges, one per address family, e.g. `10.244.0.0/16,fd00:10:244::/56`.
    #[arg(long, value_delimiter = ',', default_value = "10.244.0.0/16")]
    pub cluster_cidr: Vec<String>,
    /// Prefix length of a node's IPv4 pod range.
    #[arg(long, default_value_t = 24)]
    pub node_cidr_mask_size_ipv4: u8,
    /// Prefix length of a node's IPv6 pod range.
    #[arg(long, default_value_t = 64)]
    pub node_cidr_mask_size_ipv6: u8,
    /// Whether nodes get pod ranges.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub allocate_node_cidrs: bool,
    /// File with the certificates that clients in pods trust the API server by; published in every namespace.
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,
    /// Controllers to run: `*` is all, `name` one, `-name` all but one; names are those of kube-controller-manager.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,
    /// Work only while holding the lease kube-system/kube-controller-manager. Needed when several run.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// Seconds without news from a kubelet after which its node is unknown.
    #[arg(long, default_value_t = 50)]
    pub node_monitor_grace_period: u64,
    /// Finished pods that are kept in the cluster.
    #[arg(long, default_value_t = 12_500)]
    pub terminated_pod_gc_threshold: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            cluster_cidr: vec!["10.244.0.0/16".to_owned()],
            node_cidr_mask_size_ipv4: 24,
            node_cidr_mask_size_ipv6: 64,
            allocate_node_cidrs: true,
            root_ca_file: None,
            controllers: vec!["*".to_owned()],
            leader_elect: false,
            node_monitor_grace_period: 50,
            terminated_pod_gc_threshold: 12_500,
        }
    }
}

/// Settings of the controllers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Ranges for the nodes' pod ranges, at most one per address family.
    pub cluster_cidrs: Vec<Cidr>,
    /// Prefix length of a node's IPv4 pod range.
    pub node_mask_ipv4: u8,
    /// Prefix length of a node's IPv6 pod range.
    pub node_mask_ipv6: u8,
    /// Whether nodes get pod ranges.
    pub allocate_node_cidrs: bool,
    /// PEM certificates published as `kube-root-ca.crt`.
    pub root_ca: Option<String>,
    /// Which controllers to run.
    pub controllers: Selection,
    /// Whether to work only while holding a lease.
    pub leader_elect: bool,
    /// Silence after which a node is unknown.
    pub node_grace_period: Duration,
    /// Finished pods that are kept in the cluster.
    pub finished_pods_kept: usize,
}

/// Why the flags make no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not `address/length`.
    #[error("--cluster-cidr {0}: want address/prefix-length, e.g. 10.244.0.0/16")]
    Cidr(String),
    /// Two ranges of one family.
    #[error("--cluster-cidr: more than one {0} range")]
    Family(&'static str),
    /// The node ranges do not fit.
    #[error("--node-cidr-mask-size-{family} {mask}: must be between {prefix} (the cluster range) and {bits}")]
    Mask {
        /// `ipv4` or `ipv6`.
        family: &'static str,
        /// The given length.
        mask: u8,
        /// Length of the cluster range.
        prefix: u8,
        /// Bits of an address.
        bits: u8,
    },
    /// The certificates cannot be read.
    #[error("--root-ca-file {path}")]
    RootCa {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let parse = |text: &String| text.parse().map_err(|InvalidCidr| ConfigError::Cidr(text.clone()));
        let cluster_cidrs = args.cluster_cidr.iter().map(parse).collect::<Result<Vec<Cidr>, _>>()?;
        for (family, is_v4, mask) in
            [("ipv4", true, args.node_cidr_mask_size_ipv4), ("ipv6", false, args.node_cidr_mask_size_ipv6)]
        {
            let mut ranges = cluster_cidrs.iter().filter(|cidr| cidr.address.is_ipv4() == is_v4);
            let Some(range) = ranges.next() else { continue };
            if ranges.next().is_some() {
                return Err(ConfigError::Family(if is_v4 { "IPv4" } else { "IPv6" }));
            }
            let (prefix, bits) = (range.prefix, range.bits());
            if mask < prefix || mask > bits {
                return Err(ConfigError::Mask { family, mask, prefix, bits });
            }
        }
        let root_ca = match args.root_ca_file {
            None => None,
            Some(path) => Some(std::fs::read_to_string(&path).map_err(|source| ConfigError::RootCa { path, source })?),
        };
        Ok(Self {
            cluster_cidrs,
            node_mask_ipv4: args.node_cidr_mask_size_ipv4,
            node_mask_ipv6: args.node_cidr_mask_size_ipv6,
            allocate_node_cidrs: args.allocate_node_cidrs,
            root_ca,
            controllers: Selection(args.controllers),
            leader_elect: args.leader_elect,
            node_grace_period: Duration::from_secs(args.node_monitor_grace_period),
            finished_pods_kept: args.terminated_pod_gc_threshold,
        })
    }
}

/// Which controllers to run, as `--controllers` says.
#[derive(Clone, Debug)]
pub struct Selection(Vec<String>);

impl Selection {
    /// Whether the controller of this name runs: named itself, or with all others.
    pub fn includes(&self, name: &str) -> bool {
        let off = self.0.iter().any(|item| item.strip_prefix('-') == Some(name));
        !off && self.0.iter().any(|item| item == name || item == "*")
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// First address; bits after the prefix are zero.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub prefix: u8,
}

/// The text is not `address/prefix-length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCidr;

impl Cidr {
    /// Bits of an address of this family.
    pub fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (address, prefix) = text.split_once('/').ok_or(InvalidCidr)?;
        let address: IpAddr = address.parse().ok().ok_or(InvalidCidr)?;
        let prefix: u8 = prefix.parse().ok().ok_or(InvalidCidr)?;
        let address = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(InvalidCidr),
        };
        Ok(Self { address, prefix })
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
