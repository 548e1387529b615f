//! A server in this process on the engine of a test's choice, and a client that needs no TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use skep_pki::{ClusterPki, Names};
use skep_server::{
    Config, KubeletClientConfig, Limits, LocalService, Server, ServiceAccountConfig, StorageConfig, User, config,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::etcd;

/// Where a test's server keeps its objects.
pub(crate) enum Engine {
    Embedded,
    Etcd(etcd::Process),
}

/// A server and what it needs; ended when dropped.
pub(crate) struct Fixture {
    server: Option<Server>,
    stop: CancellationToken,
    ground: Arc<Ground>,
}

/// What outlives a server.
struct Ground {
    directory: tempfile::TempDir,
    engine: Mutex<Engine>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn settings(directory: &Path, engine: &Engine, advertise: Option<IpAddr>) -> Config {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let names = Names { dns: Vec::new(), addresses: vec![loopback], domain: "cluster.local".to_owned() };
    let pki = ClusterPki::ensure(&directory.join("pki"), &names).unwrap();
    Config {
        bind: vec![SocketAddr::new(loopback, 0)],
        advertise: advertise.into_iter().collect(),
        storage: match engine {
            Engine::Embedded => StorageConfig::Embedded(directory.join("store")),
            Engine::Etcd(etcd) => StorageConfig::Etcd { endpoints: vec![etcd.url()], ca: None, client: None },
        },
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
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        node_ports: config::DEFAULT_NODE_PORTS,
        limits: Limits::default(),
    }
}

impl Fixture {
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::on(Arc::new(Ground { directory: tempfile::tempdir().unwrap(), engine: Mutex::new(engine) }), None).await
    }

    /// Another server on the same store, which pods would reach by `address`.
    pub(crate) async fn beside(&self, address: &str) -> Self {
        Self::on(Arc::clone(&self.ground), Some(address.parse().unwrap())).await
    }

    /// Another server on what this one leaves behind.
    pub(crate) async fn restarted(self) -> Self {
        let ground = Arc::clone(&self.ground);
        drop(self);
        Self::on(ground, None).await
    }

    async fn on(ground: Arc<Ground>, advertise: Option<IpAddr>) -> Self {
        let stop = CancellationToken::new();
        let settings = settings(ground.directory.path(), &ground.engine.lock().unwrap(), advertise);
        // An embedded store is free when the last task of the server before has ended; an etcd answers when it has started.
        let starting = async {
            loop {
                match Server::start(settings.clone(), stop.clone()).await {
                    Ok(server) => break server,
                    Err(error) => eprintln!("not yet: {error:#}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let server = tokio::time::timeout(Duration::from_secs(20), starting).await.unwrap();
        Self { server: Some(server), stop, ground }
    }

    /// Kills its etcd and starts it again on the same data.
    pub(crate) fn restart_etcd(&self) {
        match &mut *self.ground.engine.lock().unwrap() {
            Engine::Etcd(etcd) => etcd.restart(),
            Engine::Embedded => panic!("no etcd here"),
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("not served over TCP")
    }

    /// From now on over TCP: where, and what ends after the fixture was dropped.
    pub(crate) fn serve(&mut self) -> (SocketAddr, JoinHandle<anyhow::Result<()>>) {
        let server = self.server.take().expect("not served yet");
        (server.addresses()[0], tokio::spawn(server.serve()))
    }

    /// Holds the server's keys in `pki`.
    pub(crate) fn directory(&self) -> &Path {
        self.ground.directory.path()
    }

    pub(crate) fn admin(&self) -> Client {
        Client(self.server().local(User::authenticated("admin", ["system:masters".to_owned()])))
    }

    pub(crate) fn user(&self, name: &str) -> Client {
        Client(self.server().local(User::authenticated(name, [])))
    }
}

#[derive(Clone)]
pub(crate) struct Client(LocalService);

impl Client {
    async fn send(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content_type)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        let code = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, "", Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, object: &Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, "application/json", object.to_string().into_bytes()).await
    }

    pub(crate) async fn put(&self, path: &str, object: &Value) -> (StatusCode, Value) {
        self.send(Method::PUT, path, "application/json", object.to_string().into_bytes()).await
    }

    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> (StatusCode, Value) {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::DELETE, path, "", Vec::new()).await
    }

    /// Reads the first `count` events of a watch.
    pub(crate) async fn watch(&self, path: &str, count: usize) -> Vec<Value> {
        let request = Request::get(path).body(Full::new(Bytes::new())).unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body();
        let mut text = String::new();
        let read = async {
            while text.lines().count() < count {
                let frame = body.frame().await.unwrap().unwrap();
                text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
