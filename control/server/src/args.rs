//! The options of `skep apiserver`; from the command line; to [`crate::config`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use ipnetwork::IpNetwork;

/// Options of the API server.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Address and port to serve HTTPS on; may be repeated. The first address of a family is advertised for the Service `kubernetes`.
    #[arg(long = "bind", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:6443")]
    pub bind: Vec<SocketAddr>,
    /// Address that pods reach the server by, when it is not one of those bound.
    #[arg(long, value_name = "ADDRESS")]
    pub advertise_address: Option<std::net::IpAddr>,
    /// Directory of the embedded store.
    #[arg(long, value_name = "DIR", conflicts_with = "etcd_endpoints")]
    pub storage_dir: Option<PathBuf>,
    /// Endpoints of an etcd cluster, used instead of the embedded store.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub etcd_endpoints: Vec<String>,
    /// Authority of etcd's certificates.
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// Client certificate for etcd.
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of the client certificate for etcd.
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// Serving certificate.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: PathBuf,
    /// Key of the serving certificate.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: PathBuf,
    /// Authority of client certificates.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: PathBuf,
    /// Private key that signs service-account tokens.
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: PathBuf,
    /// Public keys that service-account tokens are checked with; may be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    pub service_account_key_file: Vec<PathBuf>,
    /// Issuer named in service-account tokens.
    #[arg(long, value_name = "URL", default_value = "https://kubernetes.default.svc.cluster.local")]
    pub service_account_issuer: String,
    /// Audiences the API server answers to. Default: the issuer.
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    /// Client certificate shown to kubelets.
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_certificate: PathBuf,
    /// Key of the client certificate shown to kubelets.
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_key: PathBuf,
    /// Authority of kubelets' serving certificates. Default: the authority of client certificates.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Ranges of cluster IPs, at most one per address family; the first is the primary one.
    #[arg(
        long,
        alias = "service-cluster-ip-range",
        value_name = "CIDR",
        value_delimiter = ',',
        default_value = "10.96.0.0/16"
    )]
    pub service_cidr: Vec<IpNetwork>,
    /// Range of node ports.
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767")]
    pub service_node_port_range: String,
}
