//! `skep server`: makes the control plane's keys, then runs API server, controllers and scheduler in one process.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ipnetwork::IpNetwork;
use kube::Client;
use skep_pki::kubeconfig::Kubeconfig;
use skep_pki::{ClusterPki, Names};
use skep_server::config::{DEFAULT_NODE_PORTS, KubeletClientConfig, Limits, ServiceAccountConfig, StorageConfig};
use skep_server::{Server, User};
use tokio_util::sync::CancellationToken;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Keys, certificates and the embedded store.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where HTTPS is served; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:6443")]
    bind: SocketAddr,
    /// Address that pods and nodes reach the server by; default: the bound one.
    #[arg(long, value_name = "ADDRESS")]
    advertise_address: Option<IpAddr>,
    /// Further names or addresses for the serving certificate.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    tls_san: Vec<String>,
    /// Write the administrator's kubeconfig here once the server answers.
    #[arg(long, value_name = "FILE")]
    write_kubeconfig: Option<PathBuf>,
    /// Use an etcd cluster instead of the embedded store.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    etcd_endpoints: Vec<String>,
    /// Authority of etcd's certificates.
    #[arg(long, value_name = "FILE")]
    etcd_cafile: Option<PathBuf>,
    /// Client certificate for etcd.
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    etcd_certfile: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
    /// Ranges of Service addresses, one per family; the first is the primary one.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_value = "10.96.0.0/16,fd00:10:96::/112")]
    service_cidr: Vec<IpNetwork>,
    /// Ranges of pod addresses, one per family; nodes get a /24 and a /64 out of them.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_value = "10.244.0.0/16,fd00:10:244::/56")]
    cluster_cidr: Vec<IpNetwork>,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
}

/// The first address of a Service range: the API server's own Service.
pub(crate) fn first_address(network: IpAddr) -> IpAddr {
    offset(network, 1)
}

/// The tenth address of a Service range: the cluster's DNS.
pub(crate) fn dns_address(network: IpAddr) -> IpAddr {
    offset(network, 10)
}

fn offset(network: IpAddr, by: u8) -> IpAddr {
    match network {
        IpAddr::V4(v4) => IpAddr::V4(v4.to_bits().saturating_add(by.into()).into()),
        IpAddr::V6(v6) => IpAddr::V6(v6.to_bits().saturating_add(by.into()).into()),
    }
}

pub(crate) async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let pki = ClusterPki::ensure(&args.data_dir.join("pki"), &names(&args)?)?;
    let server = Server::start(config(&args, &pki), stop.clone()).await?;
    let address = server.addresses().first().copied().context("the server listens nowhere")?;
    let client = |user: User| Client::new(server.local(user), "default");
    // Upstream gives each control loop a service account of its own; ours share a process with the API server and its keys.
    let mut manager = User::component("system:kube-controller-manager");
    manager.groups.push("system:masters".to_owned());
    let controllers = skep_controllers::run(controllers(&args, &pki).try_into()?, client(manager), stop.clone());
    let scheduler = skep_scheduler::run(
        skep_scheduler::Args { leader_elect: elects(&args), ..skep_scheduler::Args::default() }.try_into()?,
        client(User::component("system:kube-scheduler")),
        stop.clone(),
    );
    if let Some(file) = &args.write_kubeconfig {
        write_kubeconfig(file, address, &pki)?;
    }
    tracing::info!(%address, "serving");
    // Each returns when the token is cancelled; one that ends earlier ends the process, so that nobody believes it works.
    let ended = |what: &'static str, result: anyhow::Result<()>| match result {
        Ok(()) if stop.is_cancelled() => Ok(()),
        Ok(()) => bail!("{what} ended by itself"),
        Err(error) => Err(error.context(format!("{what} failed"))),
    };
    let outcome = tokio::try_join!(
        async { ended("the API server", server.serve().await) },
        async { ended("the controllers", controllers.await) },
        async { ended("the scheduler", scheduler.await) },
    );
    outcome.map(|_| ())
}

fn config(args: &Args, pki: &ClusterPki) -> skep_server::Config {
    let storage = if args.etcd_endpoints.is_empty() {
        StorageConfig::Embedded(args.data_dir.join("store"))
    } else {
        StorageConfig::Etcd {
            endpoints: args.etcd_endpoints.clone(),
            ca: args.etcd_cafile.clone(),
            client: args.etcd_certfile.clone().zip(args.etcd_keyfile.clone()),
        }
    };
    skep_server::Config {
        bind: vec![args.bind],
        advertise: args.advertise_address.into_iter().collect(),
        storage,
        serving_cert: pki.path("apiserver.crt"),
        serving_key: pki.path("apiserver.key"),
        client_ca: pki.path("ca.crt"),
        service_accounts: ServiceAccountConfig {
            signing_key: pki.path("sa.key"),
            public_keys: vec![pki.path("sa.pub")],
            issuer: format!("https://kubernetes.default.svc.{}", args.cluster_domain),
            audiences: Vec::new(),
        },
        kubelet: KubeletClientConfig {
            cert: pki.path("apiserver-kubelet-client.crt"),
            key: pki.path("apiserver-kubelet-client.key"),
            ca: pki.path("ca.crt"),
        },
        service_cidrs: args.service_cidr.clone(),
        node_ports: DEFAULT_NODE_PORTS,
        limits: Limits::default(),
    }
}

/// Several servers share an etcd, so only one's controllers and scheduler may work.
fn elects(args: &Args) -> bool {
    !args.etcd_endpoints.is_empty()
}

fn controllers(args: &Args, pki: &ClusterPki) -> skep_controllers::Args {
    skep_controllers::Args {
        cluster_cidr: args.cluster_cidr.iter().map(ToString::to_string).collect(),
        root_ca_file: Some(pki.path("ca.crt")),
        leader_elect: elects(args),
        ..skep_controllers::Args::default()
    }
}

/// What clients may call the server by.
fn names(args: &Args) -> anyhow::Result<Names> {
    let mut names =
        Names { dns: Vec::new(), addresses: vec![IpAddr::from([127, 0, 0, 1])], domain: args.cluster_domain.clone() };
    if args.bind.ip().is_unspecified() {
        names.addresses.extend(machine_addresses()?);
    } else {
        names.addresses.push(args.bind.ip());
    }
    names.addresses.extend(args.advertise_address);
    names.addresses.extend(args.service_cidr.iter().map(|range| first_address(range.network())));
    for san in &args.tls_san {
        match san.parse() {
            Ok(address) => names.addresses.push(address),
            Err(_) => names.dns.push(san.clone()),
        }
    }
    Ok(names)
}

/// Every address of this machine.
fn machine_addresses() -> anyhow::Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs().context("list this machine's addresses")?;
    Ok(interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect())
}

fn write_kubeconfig(file: &Path, address: SocketAddr, pki: &ClusterPki) -> anyhow::Result<()> {
    let host = if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address };
    Kubeconfig {
        context: "skep".into(),
        user: "skep-admin".into(),
        server: format!("https://{host}"),
        ca_pem: pki.ca().cert_pem().to_owned(),
        credentials: pki.admin()?,
    }
    .write(file)?;
    Ok(())
}
