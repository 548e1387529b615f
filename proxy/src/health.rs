//! Whether this agent keeps up, on :10256 as kube-proxy answers it. From [`crate::agent`]; to load balancers and
//! probes.
//!
//! `/healthz` and `/livez` are 200 while every change is applied within [`TOO_LATE`], else 503. `/healthz` is 503,
//! too, while the node is being deleted, so that load balancers take it out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a change may wait before the agent counts as stuck.
const TOO_LATE: Duration = Duration::from_mins(2);
/// Connections served at once.
const CONNECTIONS: usize = 64;
/// A client that does not ask is sent away.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the agent's health.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when a change waits.
    waiting_since: Option<Instant>,
    last_updated: jiff::Timestamp,
    is_eligible: bool,
}

impl Default for Health {
    fn default() -> Self {
        let state = State { waiting_since: None, last_updated: jiff::Timestamp::now(), is_eligible: true };
        Self { state: Mutex::new(state) }
    }
}

impl Health {
    /// Something is to be applied.
    pub fn waiting(&self) {
        self.state.lock().waiting_since.get_or_insert_with(Instant::now);
    }

    /// Everything known is applied.
    pub fn updated(&self) {
        let mut state = self.state.lock();
        state.waiting_since = None;
        state.last_updated = jiff::Timestamp::now();
    }

    /// Whether the node may get traffic from load balancers.
    pub fn set_eligible(&self, is_eligible: bool) {
        self.state.lock().is_eligible = is_eligible;
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let state = self.state.lock();
        let is_late = state.waiting_since.is_some_and(|since| since.elapsed() > TOO_LATE);
        let is_well = match path {
            "/healthz" => !is_late && state.is_eligible,
            "/livez" => !is_late,
            _ => return respond(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        };
        let mut body = json!({
            "lastUpdated": state.last_updated.to_string(),
            "currentTime": jiff::Timestamp::now().to_string(),
        });
        if path == "/healthz" {
            body["nodeEligible"] = state.is_eligible.into();
        }
        drop(state);
        respond(if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body.to_string())
    }
}

fn respond(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

/// Serves until told to stop.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(health: Arc<Health>, address: SocketAddr, stop: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let stream = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Too many open files, or a client that is gone: neither is a reason to stop.
                Err(_) => { tokio::time::sleep(Duration::from_millis(100)).await; continue }
            },
        };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request: Request<Incoming>| {
                let response = health.answer(request.uri().path());
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let connection = server.keep_alive(false).serve_connection(TokioIo::new(stream), service);
            drop(tokio::time::timeout(PATIENCE, connection).await);
        });
    }
}
