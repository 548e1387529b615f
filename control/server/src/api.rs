//! Everything a request may need, shared by all of them. From the server's start; to the handler and the verbs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::filters::audit::Counters;
use crate::filters::limit::InFlight;
use crate::kubelet::KubeletClient;
use crate::openapi::OpenApi;
use crate::registry::Registry;
use crate::tokens::Tokens;

/// The server's parts.
#[derive(Debug)]
pub struct Api {
    /// Objects.
    pub registry: Registry,
    /// Service-account tokens.
    pub tokens: Tokens,
    /// Calls to kubelets.
    pub kubelets: KubeletClient,
    /// Documents of the API's types.
    pub openapi: OpenApi,
    /// Limits by configuration.
    pub limits: Limits,
    /// Requests in flight.
    pub in_flight: InFlight,
    /// Finished requests.
    pub counters: Counters,
    /// Set when the defaults every cluster has are written.
    pub bootstrapped: AtomicBool,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
    /// The address clients are told.
    pub address: SocketAddr,
    /// The authority that signed client certificates, PEM; what `kube-root-ca.crt` publishes.
    pub client_ca: Arc<[u8]>,
}
