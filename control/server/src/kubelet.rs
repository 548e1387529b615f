//! Calls kubelets (and, for proxies, pods) and passes upgraded connections through as raw bytes. From subresources; to nodes.
//!
//! A connection per call: streams are long, everything else is rare. Redirects are never followed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::answer::Answer;
use crate::body::{self, Body};
use crate::filters::limit;
use crate::status::ApiError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of an error's body, what is shown to the client.
const MAX_ERROR_BYTES: usize = 64 * 1024;
const DEFAULT_KUBELET_PORT: u16 = 10250;

/// Where to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Whether TLS with the kubelet client certificate is spoken.
    pub tls: bool,
}

/// Opens connections.
#[derive(Clone)]
pub struct KubeletClient {
    tls: TlsConnector,
}

impl std::fmt::Debug for KubeletClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeletClient").finish_non_exhaustive()
    }
}

impl KubeletClient {
    /// A client that shows this certificate.
    #[must_use]
    pub fn new(tls: ClientConfig) -> Self {
        Self { tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// Sends one request; `client` is the client's connection, taken over when the other side switches protocols.
    ///
    /// # Errors
    /// 502-like failures when the other side cannot be reached; what it answers in place of a protocol switch.
    pub async fn forward(
        &self,
        to: Endpoint,
        mut request: Request<Body>,
        client: Option<OnUpgrade>,
    ) -> Result<Answer, ApiError> {
        let wants_upgrade = request.headers().contains_key(UPGRADE);
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(&std::net::SocketAddr::new(to.address, to.port).to_string())
        {
            request.headers_mut().insert(HOST, host);
        }
        let mut response = self.send(to, request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client) = client.filter(|_| wants_upgrade) else {
                return Err(ApiError::internal("the other side switched protocols without being asked"));
            };
            let server = hyper::upgrade::on(&mut response);
            tokio::spawn(tunnel(client, server));
            return Ok(response.map(|_| body::empty()));
        }
        if wants_upgrade {
            return Err(refused(response).await);
        }
        Ok(response.map(body::boxed))
    }

    async fn send(&self, to: Endpoint, request: Request<Body>) -> Result<Response<Incoming>, ApiError> {
        let dial = async {
            let stream = TcpStream::connect((to.address, to.port)).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, dial)
            .await
            .unwrap_or_else(|_elapsed| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "i/o timeout")));
        let stream = stream.map_err(|error| unreachable_endpoint(to, &error))?;
        if !to.tls {
            return exchange(to, stream, request).await;
        }
        let name = ServerName::IpAddress(to.address.into());
        let handshake = tokio::time::timeout(CONNECT_TIMEOUT, self.tls.connect(name, stream)).await;
        let stream = handshake
            .unwrap_or_else(|_elapsed| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "TLS handshake timeout")))
            .map_err(|error| unreachable_endpoint(to, &error))?;
        exchange(to, stream, request).await
    }
}

async fn exchange<S>(to: Endpoint, stream: S, request: Request<Body>) -> Result<Response<Incoming>, ApiError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| unreachable_endpoint(to, &error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection to a kubelet or pod ended");
        }
    });
    sender.send_request(request).await.map_err(failed)
}

fn unreachable_endpoint(to: Endpoint, error: &dyn std::error::Error) -> ApiError {
    let address = std::net::SocketAddr::new(to.address, to.port);
    ApiError::internal(format!("error dialing backend: dial tcp {address}: {error}"))
}

/// What the other side said instead of switching protocols.
async fn refused(response: Response<Incoming>) -> ApiError {
    let code = response.status();
    let text = limit::read(body::boxed(response.into_body()), MAX_ERROR_BYTES).await.unwrap_or_default();
    server_response(code, &text)
}

/// A failure of a kubelet as the API tells it: its own `Status`, or its text.
#[must_use]
pub fn server_response(code: StatusCode, text: &[u8]) -> ApiError {
    if let Ok(status) = serde_json::from_slice::<Value>(text)
        && status.get("kind").and_then(Value::as_str) == Some("Status")
        && let Some(message) = status.get("message").and_then(Value::as_str)
    {
        return by_code(code, message);
    }
    by_code(code, String::from_utf8_lossy(text).trim())
}

fn by_code(code: StatusCode, message: &str) -> ApiError {
    let mut error = match code {
        StatusCode::BAD_REQUEST => ApiError::bad_request(message),
        StatusCode::NOT_FOUND => ApiError::unknown_resource(),
        StatusCode::SERVICE_UNAVAILABLE => ApiError::unavailable(message),
        code if code.is_server_error() => ApiError::internal(message),
        code => {
            let mut error = ApiError::bad_request(message);
            error.code = if code.is_client_error() { code } else { StatusCode::INTERNAL_SERVER_ERROR };
            error
        }
    };
    if code == StatusCode::NOT_FOUND && !message.is_empty() {
        message.clone_into(&mut error.message);
    }
    error
}

/// Copies bytes both ways until one side ends.
async fn tunnel(client: OnUpgrade, server: OnUpgrade) {
    let (client, server) = match tokio::try_join!(client, server) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "take over an upgraded connection");
            return;
        }
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        tracing::debug!(%error, "upgraded connection ended");
    }
}

/// The kubelet of a node.
#[must_use]
pub fn kubelet_of(node: &Value) -> Option<Endpoint> {
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let of_type = |wanted: &str| {
        addresses
            .iter()
            .filter(|a| a.get("type").and_then(Value::as_str) == Some(wanted))
            .find_map(|a| a.get("address")?.as_str()?.parse::<IpAddr>().ok())
    };
    let address = of_type("InternalIP").or_else(|| of_type("ExternalIP"))?;
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    let port = port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0).unwrap_or(DEFAULT_KUBELET_PORT);
    Some(Endpoint { address, port, tls: true })
}

/// Whether the client asks to switch protocols.
#[must_use]
pub fn wants_upgrade(headers: &http::HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        && headers.contains_key(UPGRADE)
}
