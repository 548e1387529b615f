//! The kubelet's own server (port 10250): logs, exec, attach, port-forward, pods, metrics; from the API server; to the
//! runtime. Performs IO.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::kubelet::Kubelet;

pub mod authorize;
pub mod exec;
pub mod logs;
pub mod metrics;
pub mod query;
pub mod spdy;
pub mod stats;
pub mod tls;
pub mod websocket;

/// Bodies of answers.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until stopped.
pub async fn serve(kubelet: Arc<Kubelet>, listener: TcpListener, acceptor: TlsAcceptor, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, as a rule: others close theirs.
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        tokio::spawn(connection(Arc::clone(&kubelet), stream, acceptor.clone()));
    }
}

async fn connection(kubelet: Arc<Kubelet>, stream: TcpStream, acceptor: TlsAcceptor) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "set TCP_NODELAY");
    }
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake"),
        Err(_elapsed) => return,
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let caller = certificates.first().and_then(|certificate| authorize::Caller::from_certificate(certificate));
    let service = service_fn(move |request| {
        let (kubelet, caller) = (Arc::clone(&kubelet), caller.clone());
        async move { Ok::<_, Infallible>(Box::pin(answer(kubelet, caller, request)).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::debug!(%error, "connection");
    }
}

async fn answer(
    kubelet: Arc<Kubelet>,
    caller: Option<authorize::Caller>,
    request: Request<Incoming>,
) -> Response<Body> {
    let caller = match authorize::authenticate(&kubelet, caller, request.headers()).await {
        Some(caller) => caller,
        None => return text(StatusCode::UNAUTHORIZED, "Unauthorized"),
    };
    let path = request.uri().path().to_owned();
    if let Err(denied) = authorize::authorize(&kubelet, &caller, request.method(), &path).await {
        return text(StatusCode::FORBIDDEN, denied);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match parts.as_slice() {
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] if reading => text(StatusCode::OK, "ok"),
        ["pods"] if reading => stats::pods(&kubelet),
        ["metrics"] if reading => metrics::own(&kubelet),
        ["metrics", "resource"] if reading => metrics::resource(&kubelet).await,
        ["stats", "summary"] if reading => stats::summary(&kubelet).await,
        ["containerLogs", namespace, pod, container] if reading => {
            logs::answer(&kubelet, namespace, pod, container, request.uri().query().unwrap_or_default())
        }
        ["exec", namespace, pod, container] => exec::exec(&kubelet, namespace, pod, None, container, request).await,
        ["exec", namespace, pod, uid, container] => {
            exec::exec(&kubelet, namespace, pod, Some(uid), container, request).await
        }
        ["attach", namespace, pod, container] => exec::attach(&kubelet, namespace, pod, None, container, request).await,
        ["attach", namespace, pod, uid, container] => {
            exec::attach(&kubelet, namespace, pod, Some(uid), container, request).await
        }
        ["portForward", namespace, pod] => exec::port_forward(&kubelet, namespace, pod, None, request).await,
        ["portForward", namespace, pod, uid] => exec::port_forward(&kubelet, namespace, pod, Some(uid), request).await,
        _ => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// An answer of plain text.
pub fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut answer = Response::new(full(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// An answer of JSON.
pub fn json(value: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut answer = Response::new(full(bytes));
            answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            answer
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}
