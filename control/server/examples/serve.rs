//! Serves the API alone, with generated certificates, for trying things out: `cargo run -p skep-server --example serve -- DIR [PORT]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use skep_pki::{ClusterPki, Names};
use skep_server::{Config, KubeletClientConfig, Limits, Server, ServiceAccountConfig, StorageConfig, config};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("usage: serve DIR [PORT]")?);
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let names = Names { dns: Vec::new(), addresses: vec![loopback], domain: "cluster.local".to_owned() };
    let pki = ClusterPki::ensure(&directory.join("pki"), &names)?;
    let config = Config {
        bind: vec![SocketAddr::new(loopback, port)],
        advertise: Vec::new(),
        storage: StorageConfig::Embedded(directory.join("store")),
        serving_cert: pki.path("apiserver.crt"),
        serving_key: pki.path("apiserver.key"),
        client_ca: pki.path("ca.crt"),
        service_accounts: ServiceAccountConfig {
            signing_key: pki.path("sa.key"),
            public_keys: vec![pki.path("sa.pub")],
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            audiences: Vec::new(),
        },
        kubelet: KubeletClientConfig {
            cert: pki.path("apiserver-kubelet-client.crt"),
            key: pki.path("apiserver-kubelet-client.key"),
            ca: pki.path("ca.crt"),
        },
        service_cidrs: vec!["10.96.0.0/16".parse()?],
        node_ports: config::DEFAULT_NODE_PORTS,
        limits: Limits::default(),
    };
    let stop = CancellationToken::new();
    let server = Server::start(config, stop.clone()).await?;
    let address = server.addresses().first().copied().context("no address")?;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'https://{address}', certificate-authority: '{}'}}}}]\n\
         users: [{{name: u, user: {{client-certificate: '{}', client-key: '{}'}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
        pki.path("ca.crt").display(),
        pki.path("admin.crt").display(),
        pki.path("admin.key").display(),
    );
    std::fs::write(directory.join("kubeconfig"), kubeconfig)?;
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    server.serve().await
}
