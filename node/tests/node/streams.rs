//! The kubelet's server: logs, exec and attach over WebSocket and SPDY, metrics, and who is let in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::fixture::{Node, enabled};

type Tls = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(node: &Node, with_certificate: bool) -> Tls {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(node.ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let chain = vec![CertificateDer::from_pem_slice(node.client.0.as_bytes()).unwrap()];
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(node.client.1.as_bytes()).unwrap()).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", node.port)).await {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            return tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the kubelet's server does not listen");
}

async fn send(stream: Tls, request: Request<Empty<Bytes>>) -> http::Response<hyper::body::Incoming> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.unwrap()
}

pub async fn get(node: &Node, path: &str) -> (u16, String) {
    let request = Request::get(path).header("host", "node").body(Empty::new()).unwrap();
    let answer = send(connect(node, true).await, request).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// Exec over WebSocket v5; standard input is sent and closed. Output and error channel.
async fn exec(node: &Node, pod: &str, command: &[&str], stdin: Option<&str>) -> (String, String) {
    let command: String = command.iter().map(|word| format!("&command={}", word.replace(' ', "+"))).collect();
    let input = if stdin.is_some() { "&input=1" } else { "" };
    let request = Request::get(format!("/exec/default/{pod}-n1/c?output=1&error=1{input}{command}"))
        .header("host", "node")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "v5.channel.k8s.io")
        .body(Empty::new())
        .unwrap();
    let answer = send(connect(node, true).await, request).await;
    assert_eq!(answer.status(), 101, "{:?}", answer.into_body().collect().await.unwrap().to_bytes());
    let upgraded = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    if let Some(text) = stdin {
        let mut message = vec![0];
        message.extend_from_slice(text.as_bytes());
        socket.send(Message::Binary(message.into())).await.unwrap();
        socket.send(Message::Binary(vec![255, 0].into())).await.unwrap();
    }
    let (mut output, mut error) = (Vec::new(), Vec::new());
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            match bytes.first() {
                Some(1 | 2) => output.extend_from_slice(&bytes[1..]),
                Some(3) => error.extend_from_slice(&bytes[1..]),
                _ => {}
            }
        }
    }
    (String::from_utf8(output).unwrap(), String::from_utf8(error).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_exec_and_metrics() {
    if !enabled() {
        return;
    }
    let node = Node::start().await;
    let script = "echo err >&2; sleep 0.3; echo out; for i in 1 2 3; do echo line $i; done; sleep 1000";
    node.apply("a", json!({"containers": [{"name": "c", "command": ["sh", "-c", script]}]}));
    node.wait_for("a", "ready", |status| status["containerStatuses"][0]["ready"] == true).await;

    super::fixture::wait("the log is written", async || {
        get(&node, "/containerLogs/default/a-n1/c").await.1.lines().count() == 5
    })
    .await;
    let (_, tail) = get(&node, "/containerLogs/default/a-n1/c?tailLines=2").await;
    assert_eq!(tail, "line 2\nline 3\n");
    let (_, stamped) = get(&node, "/containerLogs/default/a-n1/c?tailLines=1&timestamps=true").await;
    assert!(stamped.starts_with("20") && stamped.ends_with("Z line 3\n") || stamped.contains(" line 3"), "{stamped}");
    let (status, missing) = get(&node, "/containerLogs/default/a-n1/c?previous=true").await;
    assert_eq!((status, missing.as_str()), (400, "previous terminated container \"c\" in pod \"a-n1\" not found"));

    let (output, error) = exec(&node, "a", &["echo", "hi"], None).await;
    assert_eq!(output, "hi\n");
    assert!(error.contains("\"Success\""), "{error}");
    let (output, _) = exec(&node, "a", &["cat"], Some("through stdin")).await;
    assert_eq!(output, "through stdin");
    let (_, error) = exec(&node, "a", &["sh", "-c", "exit 3"], None).await;
    assert!(error.contains("NonZeroExitCode") && error.contains("\"3\""), "{error}");
    let (big, _) = exec(&node, "a", &["seq", "20000"], None).await;
    assert_eq!(big.lines().count(), 20_000);

    let (_, metrics) = get(&node, "/metrics/resource").await;
    assert!(
        metrics.contains("container_memory_working_set_bytes{container=\"c\",namespace=\"default\",pod=\"a-n1\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("resource_scrape_error 0"));
    assert_eq!(get(&node, "/healthz").await, (200, "ok".to_owned()));

    let request = Request::get("/pods").header("host", "node").body(Empty::new()).unwrap();
    assert_eq!(send(connect(&node, false).await, request).await.status(), 401);
}
