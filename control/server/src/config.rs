//! What the server needs to know to start; from [`crate::args`] or `skep server`; to [`crate::server`].

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

use crate::args::Args;

/// Settings of the API server. Files are PEM.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTPS is served; port 0 takes a free one.
    pub bind: Vec<SocketAddr>,
    /// Addresses in the EndpointSlices of the Service `kubernetes`; when empty, the first usable bound address.
    pub advertise: Vec<IpAddr>,
    /// Where objects are kept.
    pub storage: StorageConfig,
    /// Serving certificate (chain).
    pub serving_cert: PathBuf,
    /// Its key.
    pub serving_key: PathBuf,
    /// Authority of client certificates; also published as `kube-root-ca.crt` by a controller.
    pub client_ca: PathBuf,
    /// Keys of service-account tokens.
    pub service_accounts: ServiceAccountConfig,
    /// How kubelets are called.
    pub kubelet: KubeletClientConfig,
    /// Ranges of cluster IPs; the first is the primary family. At most one per family.
    pub service_cidrs: Vec<IpNetwork>,
    /// Ports for Services of type NodePort.
    pub node_ports: RangeInclusive<u16>,
    /// Limits on requests.
    pub limits: Limits,
}

/// Where objects are kept.
#[derive(Clone, Debug)]
pub enum StorageConfig {
    /// The embedded engine in this directory.
    Embedded(PathBuf),
    /// An etcd v3 cluster.
    Etcd {
        /// URLs.
        endpoints: Vec<String>,
        /// Authority of its certificates.
        ca: Option<PathBuf>,
        /// Client certificate and key.
        client: Option<(PathBuf, PathBuf)>,
    },
}

/// Keys of service-account tokens.
#[derive(Clone, Debug)]
pub struct ServiceAccountConfig {
    /// Private key that signs (ECDSA P-256 or RSA, PKCS #8).
    pub signing_key: PathBuf,
    /// Public keys that are accepted; must hold the signing key's.
    pub public_keys: Vec<PathBuf>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// Audiences this server answers to; when empty, the issuer.
    pub audiences: Vec<String>,
}

/// How kubelets are called.
#[derive(Clone, Debug)]
pub struct KubeletClientConfig {
    /// Client certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authority of the kubelets' serving certificates.
    pub ca: PathBuf,
}

/// Limits on requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that change something, at one time.
    pub max_mutating_in_flight: usize,
    /// Other requests except watches and streams, at one time.
    pub max_in_flight: usize,
    /// Bytes of a request body.
    pub max_body_bytes: usize,
    /// How long a request other than a watch or stream may take.
    pub request_timeout: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_mutating_in_flight: 200,
            max_in_flight: 400,
            max_body_bytes: 3 * 1024 * 1024,
            request_timeout: std::time::Duration::from_secs(60),
        }
    }
}

/// The range `30000-32767`.
pub const DEFAULT_NODE_PORTS: RangeInclusive<u16> = 30000..=32767;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither store was named.
    #[error("--storage-dir or --etcd-endpoints is required")]
    NoStorage,
    /// A port range that cannot be read.
    #[error("--service-node-port-range {given}: write it as FIRST-LAST, for instance 30000-32767")]
    NodePorts {
        /// What was given.
        given: String,
    },
    /// Two ranges of one family, or none.
    #[error("--service-cidr: one range per address family, one or two in all")]
    ServiceCidrs,
    /// A range too large or too small.
    #[error("--service-cidr {range}: the prefix must leave between 3 and 20 (IPv4) or 64 (IPv6) bits of addresses")]
    ServiceCidrSize {
        /// The range.
        range: IpNetwork,
    },
    /// No address to listen on.
    #[error("--bind: at least one address is required")]
    NoAddress,
}

impl Config {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first wrong setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.bind.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        let (v4, v6): (Vec<&IpNetwork>, Vec<_>) = self.service_cidrs.iter().partition(|c| c.is_ipv4());
        if v4.len() > 1 || v6.len() > 1 || self.service_cidrs.is_empty() {
            return Err(ConfigError::ServiceCidrs);
        }
        for cidr in &self.service_cidrs {
            let (bits, most) = if cidr.is_ipv4() { (32 - cidr.prefix(), 20) } else { (128 - cidr.prefix(), 64) };
            if !(3..=most).contains(&bits) {
                return Err(ConfigError::ServiceCidrSize { range: *cidr });
            }
        }
        Ok(())
    }
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let storage = match (args.storage_dir, args.etcd_endpoints) {
            (Some(directory), _) => StorageConfig::Embedded(directory),
            (None, endpoints) if endpoints.is_empty() => return Err(ConfigError::NoStorage),
            (None, endpoints) => StorageConfig::Etcd {
                endpoints,
                ca: args.etcd_cafile,
                client: args.etcd_certfile.zip(args.etcd_keyfile),
            },
        };
        let config = Self {
            bind: args.bind,
            advertise: args.advertise_address.into_iter().collect(),
            storage,
            serving_cert: args.tls_cert_file,
            serving_key: args.tls_private_key_file,
            kubelet: KubeletClientConfig {
                cert: args.kubelet_client_certificate,
                key: args.kubelet_client_key,
                ca: args.kubelet_certificate_authority.unwrap_or_else(|| args.client_ca_file.clone()),
            },
            client_ca: args.client_ca_file,
            service_accounts: ServiceAccountConfig {
                signing_key: args.service_account_signing_key_file,
                public_keys: args.service_account_key_file,
                issuer: args.service_account_issuer,
                audiences: args.api_audiences,
            },
            service_cidrs: args.service_cidr,
            node_ports: node_ports(&args.service_node_port_range)?,
            limits: Limits::default(),
        };
        config.validate()?;
        Ok(config)
    }
}

fn node_ports(text: &str) -> Result<RangeInclusive<u16>, ConfigError> {
    text.split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?)))
        .filter(|(first, last)| *first > 0 && first <= last)
        .map(|(first, last)| first..=last)
        .ok_or_else(|| ConfigError::NodePorts { given: text.to_owned() })
}
