//! Accepts connections: TCP → TLS → HTTP/1.1 (with upgrades) or HTTP/2 → [`crate::handler`]. From clients; ends gracefully.

mod cork;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::cork::Cork;
use crate::api::Api;
use crate::body;
use crate::filters::authenticate::{Connection, certificate_user};
use crate::handler;

/// A client must finish the TLS handshake in this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client must finish sending headers in this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// How long open requests may run on after the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of one HTTP/2 connection, as upstream's.
const MAX_STREAMS: u32 = 250;

/// Serves until the token is cancelled, then lets open requests finish for a while.
pub async fn serve(api: Arc<Api>, listeners: Vec<TcpListener>, tls: TlsAcceptor, stop: CancellationToken) {
    let graceful = Arc::new(GracefulShutdown::new());
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        tasks.spawn(accept(Arc::clone(&api), listener, tls.clone(), Arc::clone(&graceful), stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
    let Some(graceful) = Arc::into_inner(graceful) else { return };
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::info!("some connections were still open at the end");
    }
}

async fn accept(
    api: Arc<Api>,
    listener: TcpListener,
    tls: TlsAcceptor,
    graceful: Arc<GracefulShutdown>,
    stop: CancellationToken,
) {
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the client went away: the next one may do better.
                    tracing::warn!(%error, "accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let watcher = graceful.watcher();
        let (api, tls) = (Arc::clone(&api), tls.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(api, stream, peer, tls, watcher).await {
                tracing::debug!(%peer, error = &*error as &dyn std::error::Error, "connection ended");
            }
        });
    }
}

async fn connection(
    api: Arc<Api>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), body::BoxError> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await??;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let connection = Connection::Tls { certificate: certificate.and_then(|c| certificate_user(c)).map(Arc::new), peer };
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (api, connection) = (Arc::clone(&api), connection.clone());
        async move { Ok::<_, Infallible>(handler::handle(api, request.map(body::boxed), connection).await) }
    });
    let stream = Cork::new(stream, is_http2);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(MAX_STREAMS * 256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    watcher.watch(connection).await
}
