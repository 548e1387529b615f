//! One HTTP/2 connection that sends prepared bytes and hardly looks at the answers: the client must not be what is measured.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection; clones send on the same one.
#[derive(Clone)]
pub(crate) struct Connection {
    address: Arc<str>,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to a kubeconfig's server as its user.
    pub(crate) async fn of(kubeconfig: &Path) -> anyhow::Result<Self> {
        let document = Kubeconfig::read_from(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(document, &KubeConfigOptions::default()).await?;
        let address = config.cluster_url.authority().context("no address of the server")?.to_string();
        Self::open(&address, config.rustls_client_config()?).await
    }

    async fn open(address: &str, mut tls: ClientConfig) -> anyhow::Result<Self> {
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let host = address.rsplit_once(':').context("no port")?.0.to_owned();
        let stream = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(host)?, stream).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(64 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended: {error}");
            }
        });
        Ok(Self { address: address.into(), sender })
    }

    /// Sends a request and gives the body of the answer, which must be a success.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Bytes) -> anyhow::Result<Incoming> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("user-agent", "bench")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.into_body().collect().await?.to_bytes();
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(answer.into_body())
    }

    /// Sends a request; gives the number of bytes answered.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Bytes) -> anyhow::Result<usize> {
        let mut body = self.send(method, path, body).await?;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }

    /// The answer to a GET as text.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let body = self.send("GET", path, Bytes::new()).await?.collect().await?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
