//! `/exec`, `/attach` and `/portForward`: asks the runtime where to connect, connects, and carries the streams.
//!
//! SPDY clients' bytes go unchanged, WebSocket clients' are translated. From [`server`](super); to the runtime's streaming
//! port. Performs IO.

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Body, full, query, text, websocket};
use crate::cri::container::Streams;
use crate::cri::observed::Phase;
use crate::kubelet::{Kubelet, PodView};
use crate::pod;

/// Header by which SPDY clients name the protocol inside.
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
/// Protocol of SPDY streams that runtimes know: exit codes travel as a Status.
const SPDY_EXEC: &str = "v4.channel.k8s.io";
const SPDY_FORWARD: &str = "portforward.k8s.io";

type Refusal = Box<Response<Body>>;

fn refuse(status: StatusCode, message: impl Into<String>) -> Refusal {
    Box::new(text(status, message))
}

fn find(kubelet: &Kubelet, namespace: &str, name: &str, uid: Option<&str>) -> Result<PodView, Refusal> {
    kubelet
        .find_pod(namespace, name, uid)
        .ok_or_else(|| refuse(StatusCode::NOT_FOUND, format!("pod does not exist: {name}_{namespace}")))
}

fn running(view: &PodView, container: &str) -> Result<String, Refusal> {
    if pod::find_container(&view.pod, container).is_none() {
        return Err(refuse(StatusCode::NOT_FOUND, format!("container not found (\"{container}\")")));
    }
    let newest = view.state.newest(container).filter(|newest| newest.phase == Phase::Running);
    newest.map(|newest| newest.id.clone()).ok_or_else(|| {
        refuse(
            StatusCode::BAD_REQUEST,
            format!("container {container} is not running in pod {}", pod::formatted(&view.pod)),
        )
    })
}

fn streams(pairs: &[(String, String)]) -> Result<Streams, Refusal> {
    let tty = query::flag(pairs, &["tty"]);
    let streams = Streams {
        stdin: query::flag(pairs, &["input", "stdin"]),
        stdout: query::flag(pairs, &["output", "stdout"]),
        stderr: query::flag(pairs, &["error", "stderr"]) && !tty,
        tty,
    };
    if !streams.stdin && !streams.stdout && !streams.stderr {
        return Err(refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(streams)
}

/// Runs a command in a container.
pub async fn exec(
    kubelet: &Kubelet,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    container: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let prepare = async {
        let view = find(kubelet, namespace, name, uid)?;
        let id = running(&view, container)?;
        let pairs = query::parse(request.uri().query().unwrap_or_default());
        let streams = streams(&pairs)?;
        let command: Vec<String> =
            pairs.into_iter().filter(|(name, _)| name == "command").map(|(_, value)| value).collect();
        if command.is_empty() {
            return Err(refuse(StatusCode::BAD_REQUEST, "you must specify at least one command"));
        }
        let url = kubelet.runtime.exec(&id, command, streams).await.map_err(unavailable)?;
        Ok::<_, Refusal>((url, streams))
    };
    match prepare.await {
        Ok((url, streams)) => carry(request, &url, Some(streams)).await,
        Err(refusal) => *refusal,
    }
}

/// Joins a container's own streams.
pub async fn attach(
    kubelet: &Kubelet,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    container: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let prepare = async {
        let view = find(kubelet, namespace, name, uid)?;
        let id = running(&view, container)?;
        let streams = streams(&query::parse(request.uri().query().unwrap_or_default()))?;
        let tty = pod::find_container(&view.pod, container).and_then(|(_, c)| c.tty).unwrap_or(false);
        let streams = Streams { tty, stderr: streams.stderr && !tty, ..streams };
        let url = kubelet.runtime.attach(&id, streams).await.map_err(unavailable)?;
        Ok::<_, Refusal>((url, streams))
    };
    match prepare.await {
        Ok((url, streams)) => carry(request, &url, Some(streams)).await,
        Err(refusal) => *refusal,
    }
}

/// Carries connections to ports of a pod.
pub async fn port_forward(
    kubelet: &Kubelet,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    request: Request<Incoming>,
) -> Response<Body> {
    let prepare = async {
        let view = find(kubelet, namespace, name, uid)?;
        let sandbox = view.state.ready_sandbox();
        let sandbox =
            sandbox.ok_or_else(|| refuse(StatusCode::NOT_FOUND, format!("pod not found (\"{name}_{namespace}\")")))?;
        let pairs = query::parse(request.uri().query().unwrap_or_default());
        let named = pairs.iter().filter(|(name, _)| name == "port" || name == "ports");
        let ports = named.flat_map(|(_, value)| value.split(',')).filter_map(|port| port.parse().ok()).collect();
        kubelet.runtime.port_forward(&sandbox.id, ports).await.map_err(unavailable)
    };
    match prepare.await {
        Ok(url) => carry(request, &url, None).await,
        Err(refusal) => *refusal,
    }
}

fn unavailable(error: crate::cri::CriError) -> Refusal {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// Connects the client with the runtime. `streams` are those of an exec or attach, `None` means port-forward.
async fn carry(request: Request<Incoming>, url: &str, streams: Option<Streams>) -> Response<Body> {
    let result = if websocket::is_upgrade(request.headers()) {
        carry_websocket(request, url, streams).await
    } else if request.headers().contains_key(UPGRADE) {
        carry_spdy(request, url).await
    } else {
        return text(StatusCode::BAD_REQUEST, "Upgrade request required");
    };
    match result {
        Ok(answer) => answer,
        Err(Failure::Refused(answer)) => *answer,
        Err(Failure::Connection(error)) => text(StatusCode::BAD_GATEWAY, format!("connect to the runtime: {error}")),
    }
}

enum Failure {
    /// The runtime answered otherwise; the client gets to see it.
    Refused(Refusal),
    Connection(String),
}

async fn carry_spdy(mut request: Request<Incoming>, url: &str) -> Result<Response<Body>, Failure> {
    let mut headers = HeaderMap::new();
    for name in [UPGRADE.as_str(), STREAM_PROTOCOL] {
        for value in request.headers().get_all(name) {
            headers.append(name_of(name), value.clone());
        }
    }
    let (upstream, agreed) = connect(url, headers).await?;
    let mut answer = switching(&HeaderValue::from_static("SPDY/3.1"));
    if let Some(agreed) = agreed {
        answer.headers_mut().insert(STREAM_PROTOCOL, agreed);
    }
    let client = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match client.await {
            Ok(client) => {
                let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
                if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
                    tracing::debug!(%error, "carry SPDY stream");
                }
            }
            Err(error) => tracing::debug!(%error, "upgrade to SPDY"),
        }
    });
    Ok(answer)
}

async fn carry_websocket(
    mut request: Request<Incoming>,
    url: &str,
    streams: Option<Streams>,
) -> Result<Response<Body>, Failure> {
    let supported: &[&'static str] =
        if streams.is_some() { &[websocket::V5, websocket::V4] } else { &[websocket::TUNNEL] };
    let Some(agreed) = websocket::negotiate(request.headers(), supported) else {
        let message = format!("none of the requested WebSocket protocols is supported; known are {supported:?}");
        return Err(Failure::Refused(refuse(StatusCode::BAD_REQUEST, message)));
    };
    let inner = if streams.is_some() { SPDY_EXEC } else { SPDY_FORWARD };
    let mut headers = HeaderMap::new();
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(name_of(STREAM_PROTOCOL), HeaderValue::from_static(inner));
    let (upstream, _) = connect(url, headers).await?;
    let mut answer = switching(&HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&agreed.accept) {
        answer.headers_mut().insert("sec-websocket-accept", accept);
    }
    answer.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(agreed.protocol));
    let client = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let client = match client.await {
            Ok(client) => TokioIo::new(client),
            Err(error) => return tracing::debug!(%error, "upgrade to WebSocket"),
        };
        let client = WebSocketStream::from_raw_socket(client, Role::Server, None).await;
        let upstream = TokioIo::new(upstream);
        let carried = match streams {
            Some(streams) => Box::pin(websocket::translate(client, upstream, streams)).await,
            None => Box::pin(websocket::tunnel(client, upstream)).await,
        };
        if let Err(error) = carried {
            tracing::debug!(%error, "carry WebSocket streams");
        }
    });
    Ok(answer)
}

fn name_of(name: &str) -> http::HeaderName {
    http::HeaderName::from_bytes(name.as_bytes()).unwrap_or(UPGRADE)
}

fn switching(protocol: &HeaderValue) -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, protocol.clone());
    answer
}

/// Connects to the runtime's streaming port and upgrades; returns the stream and the protocol the runtime chose.
async fn connect(url: &str, headers: HeaderMap) -> Result<(Upgraded, Option<HeaderValue>), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Connection(error.to_string());
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let stream = TcpStream::connect(&authority).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    tokio::spawn(connection.with_upgrades());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(host) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert("host", host);
    }
    let mut answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let status = if status.is_success() { StatusCode::BAD_GATEWAY } else { status };
        return Err(Failure::Refused(refuse(status, String::from_utf8_lossy(&bytes).into_owned())));
    }
    let agreed = answer.headers().get(STREAM_PROTOCOL).cloned();
    let upgraded = hyper::upgrade::on(&mut answer).await.map_err(|error| failed(&error))?;
    Ok((upgraded, agreed))
}
