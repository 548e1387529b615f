//! Starts and stops the API server: certificates → store → caches → defaults → listener. From `skep server` or `skep apiserver`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use ipnetwork::IpNetwork;
use skep_api::kinds;
use skep_storage::embedded::{self, Embedded};
use skep_storage::etcd::{self, Etcd};
use skep_storage::store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::config::{Config, StorageConfig};
use crate::defaults;
use crate::filters::audit::Counters;
use crate::filters::limit::InFlight;
use crate::identity::User;
use crate::kubelet::KubeletClient;
use crate::listener;
use crate::local::LocalService;
use crate::openapi::OpenApi;
use crate::registry::Registry;
use crate::server_endpoints::ServerEndpoints;
use crate::tls;
use crate::tokens::Tokens;

/// How much history the store keeps.
const HISTORY: Duration = Duration::from_secs(300);

/// How long the server may take to leave the endpoints of the Service `kubernetes`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// A started server.
pub struct Server {
    api: Arc<Api>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: TlsAcceptor,
    /// Keeps the endpoints of the Service `kubernetes`; ended when this server has left them.
    endpoints: JoinHandle<()>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store, fills the caches, writes the defaults of every cluster, and binds. Requests by [`Server::local`] are answered
    /// from now on, others when [`Server::serve`] runs. The token ends both.
    ///
    /// # Errors
    /// When a file, the store or an address cannot be used.
    pub async fn start(config: Config, stop: CancellationToken) -> anyhow::Result<Self> {
        config.validate()?;
        let tls = TlsAcceptor::from(Arc::new(tls::server(&config)?));
        let client_ca =
            std::fs::read(&config.client_ca).with_context(|| format!("read {}", config.client_ca.display()))?;
        let tokens = Tokens::load(&config.service_accounts)?;
        let kubelets = KubeletClient::new(tls::kubelet_client(&config.kubelet)?);
        let mut listeners = Vec::new();
        for address in &config.bind {
            listeners.push(TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?);
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let store = open(&config.storage).await.context("open the store")?;
        let registry =
            Registry::start(Arc::clone(&store), kinds::builtin(), &config).await.context("fill the watch caches")?;
        let advertised = advertised(&config, &addresses);
        let api = Arc::new(Api {
            registry,
            tokens,
            kubelets,
            openapi: OpenApi::new(kinds::builtin()),
            limits: config.limits,
            in_flight: InFlight::new(&config.limits),
            counters: Counters::default(),
            bootstrapped: AtomicBool::new(false),
            stopping: stop.clone(),
            address: advertised.first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 6443))),
            client_ca: client_ca.into(),
        });
        let v4 = config.service_cidrs.first().is_none_or(IpNetwork::is_ipv4);
        let mut endpoints = ServerEndpoints::new(Arc::clone(&store), &advertised, v4);
        let compaction = skep_storage::compaction::run(store, HISTORY);
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = compaction => {}
                () = stopped.cancelled() => {}
            }
        });
        defaults::write(&api, &config, &advertised).await.context("write the defaults of every cluster")?;
        endpoints.publish(&api).await.context("write the endpoints of the Service kubernetes")?;
        let endpoints = tokio::spawn(endpoints.run(Arc::clone(&api), stop.clone()));
        api.bootstrapped.store(true, Ordering::Release);
        Ok(Self { api, listeners, addresses, tls, endpoints, stop })
    }

    /// The addresses served, with the ports chosen.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The API for a component in this process.
    #[must_use]
    pub fn local(&self, user: User) -> LocalService {
        LocalService::new(Arc::clone(&self.api), user)
    }

    /// Answers until the token is cancelled, then lets open requests finish.
    ///
    /// # Errors
    /// None now; a listener that cannot go on would be one.
    pub async fn serve(self) -> anyhow::Result<()> {
        for address in &self.addresses {
            tracing::info!(%address, "serving the Kubernetes API");
        }
        listener::serve(self.api, self.listeners, self.tls, self.stop).await;
        // It began to leave when the token was cancelled; the store must not close before.
        if tokio::time::timeout(LEAVE_TIMEOUT, self.endpoints).await.is_err() {
            tracing::warn!("this server stays an endpoint until its lease ends");
        }
        Ok(())
    }
}

/// Starts and serves.
///
/// # Errors
/// Those of [`Server::start`].
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    Server::start(config, stop).await?.serve().await
}

async fn open(config: &StorageConfig) -> anyhow::Result<Arc<dyn Store>> {
    match config {
        StorageConfig::Embedded(directory) => {
            Ok(Embedded::open(directory, embedded::Options::default())? as Arc<dyn Store>)
        }
        StorageConfig::Etcd { endpoints, ca, client } => {
            let mut options = etcd::Options::new(endpoints.clone());
            let read = |path: &std::path::Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
            if let Some(ca) = ca {
                let client = match client {
                    Some((cert, key)) => {
                        Some(etcd::ClientCertificate { certificate_pem: read(cert)?, key_pem: read(key)? })
                    }
                    None => None,
                };
                options.tls = Some(etcd::Tls { ca_pem: read(ca)?, client });
            }
            Ok(Etcd::connect(options).await? as Arc<dyn Store>)
        }
    }
}

/// Where pods reach the server: the configured addresses, else those bound that mean one machine.
fn advertised(config: &Config, bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let port = bound.first().map_or(6443, SocketAddr::port);
    if !config.advertise.is_empty() {
        return config.advertise.iter().map(|address| SocketAddr::new(*address, port)).collect();
    }
    let usable: Vec<SocketAddr> = bound.iter().copied().filter(|a| !a.ip().is_unspecified()).collect();
    if usable.is_empty() {
        let loopback = |a: &SocketAddr| {
            if a.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]) }
        };
        return bound.iter().map(|a| SocketAddr::new(loopback(a), a.port())).collect();
    }
    usable
}
