//! The whole server in this process: requests through the same filters, verbs, registry and store as over TCP.

#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "this crate is nothing but tests")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use skep_pki::{ClusterPki, Names};
use skep_server::{
    Config, KubeletClientConfig, Limits, LocalService, Server, ServiceAccountConfig, StorageConfig, User, config,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

struct Fixture {
    server: Server,
    stop: CancellationToken,
    directory: Arc<tempfile::TempDir>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn settings(directory: &Path) -> Config {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let names = Names { dns: Vec::new(), addresses: vec![loopback], domain: "cluster.local".to_owned() };
    let pki = ClusterPki::ensure(&directory.join("pki"), &names).unwrap();
    Config {
        bind: vec![SocketAddr::new(loopback, 0)],
        advertise: Vec::new(),
        storage: StorageConfig::Embedded(directory.join("store")),
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

async fn start() -> Fixture {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let stop = CancellationToken::new();
    let server = Server::start(settings(directory.path()), stop.clone()).await.unwrap();
    Fixture { server, stop, directory }
}

impl Fixture {
    fn admin(&self) -> Client {
        Client(self.server.local(User::authenticated("admin", ["system:masters".to_owned()])))
    }

    fn user(&self, name: &str) -> Client {
        Client(self.server.local(User::authenticated(name, [])))
    }
}

#[derive(Clone)]
struct Client(LocalService);

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

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, "", Vec::new()).await
    }

    async fn post(&self, path: &str, object: &Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, "application/json", object.to_string().into_bytes()).await
    }

    async fn put(&self, path: &str, object: &Value) -> (StatusCode, Value) {
        self.send(Method::PUT, path, "application/json", object.to_string().into_bytes()).await
    }

    async fn merge(&self, path: &str, patch: &Value) -> (StatusCode, Value) {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch.to_string().into_bytes()).await
    }

    async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::DELETE, path, "", Vec::new()).await
    }

    /// Reads the first `count` events of a watch.
    async fn watch(&self, path: &str, count: usize) -> Vec<Value> {
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

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": name}}, "data": {"k": "v"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_live_and_die() {
    let fixture = start().await;
    let admin = fixture.admin();
    let (code, created) = admin.post(MAPS, &map("a")).await;
    assert_eq!(code, StatusCode::CREATED, "{created}");
    let version = created["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    assert!(created["metadata"]["uid"].is_string() && created["metadata"]["creationTimestamp"].is_string());
    let (code, again) = admin.post(MAPS, &map("a")).await;
    assert_eq!((code, &again["message"]), (StatusCode::CONFLICT, &json!("configmaps \"a\" already exists")));
    assert_eq!(admin.get(&format!("{MAPS}/a")).await, (StatusCode::OK, created.clone()));

    // A change that changes nothing is no new version.
    let (_, same) = admin.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "v"}})).await;
    assert_eq!(same["metadata"]["resourceVersion"], json!(version));
    let (_, changed) = admin.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "w"}})).await;
    assert_ne!(changed["metadata"]["resourceVersion"], json!(version));
    let (code, conflict) = admin.put(&format!("{MAPS}/a"), &created).await;
    assert_eq!(code, StatusCode::CONFLICT);
    assert!(
        conflict["message"]
            .as_str()
            .unwrap()
            .ends_with("please apply your changes to the latest version and try again")
    );

    let (code, status) = admin.delete(&format!("{MAPS}/a")).await;
    assert_eq!((code, &status["status"]), (StatusCode::OK, &json!("Success")));
    let (code, missing) = admin.get(&format!("{MAPS}/a")).await;
    assert_eq!((code, &missing["message"]), (StatusCode::NOT_FOUND, &json!("configmaps \"a\" not found")));
    let events = admin.watch(&format!("{MAPS}?watch=1&resourceVersion={version}"), 2).await;
    let seen: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(seen, ["MODIFIED", "DELETED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_of_one_state() {
    let fixture = start().await;
    let admin = fixture.admin();
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(admin.post(MAPS, &map(name)).await.0, StatusCode::CREATED);
    }
    let (_, first) = admin.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    assert_eq!(first["items"][0]["kind"], Value::Null);
    admin.delete(&format!("{MAPS}/d")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = admin.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    let names: Vec<&Value> = rest["items"].as_array().unwrap().iter().map(|i| &i["metadata"]["name"]).collect();
    assert_eq!(names, ["c", "d", "e"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let (_, selected) = admin.get(&format!("{MAPS}?labelSelector=l+in+(a,b)&fieldSelector=metadata.name!%3Da")).await;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    let (code, _) = admin.get(&format!("{MAPS}?fieldSelector=data.k%3Da")).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    let (code, future) = admin.get(&format!("{MAPS}?resourceVersion=999999999&resourceVersionMatch=Exact")).await;
    assert_eq!((code, &future["reason"]), (StatusCode::GATEWAY_TIMEOUT, &json!("Timeout")));
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_tell_the_first_state_and_its_end() {
    let fixture = start().await;
    let admin = fixture.admin();
    admin.post(MAPS, &map("a")).await;
    let url =
        format!("{MAPS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan");
    let events = admin.watch(&url, 2).await;
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("ADDED"), &json!("BOOKMARK")));
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let (code, _) = admin.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_come_from_roles() {
    let fixture = start().await;
    let (admin, alice) = (fixture.admin(), fixture.user("alice"));
    let (code, denied) = alice.get(MAPS).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        denied["message"],
        "configmaps is forbidden: User \"alice\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": ["", "rbac.authorization.k8s.io"], "resources": ["configmaps", "roles"], "verbs": ["list", "create"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]});
    assert_eq!(admin.post(&format!("{rbac}/roles"), &role).await.0, StatusCode::CREATED);
    assert_eq!(admin.post(&format!("{rbac}/rolebindings"), &binding).await.0, StatusCode::CREATED);
    let allowed = async {
        while alice.get(MAPS).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), allowed).await.unwrap();
    let more = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    let (code, refused) = alice.post(&format!("{rbac}/roles"), &more).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        refused["message"].as_str().unwrap().contains("is attempting to grant RBAC permissions not currently held")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn service_addresses_are_given_once_and_survive_restarts() {
    let fixture = start().await;
    let admin = fixture.admin();
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, extra: Value| {
        let mut spec = json!({"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    };
    let (code, first) = admin.post(services, &service("s", json!({}))).await;
    assert_eq!(code, StatusCode::CREATED, "{first}");
    let (ip, port) = (first["spec"]["clusterIP"].clone(), first["spec"]["ports"][0]["nodePort"].clone());
    assert!(ip.as_str().unwrap().starts_with("10.96."), "{ip}");
    let (code, taken) = admin.post(services, &service("t", json!({"clusterIP": ip}))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken["message"].as_str().unwrap().contains("provided IP is already allocated"), "{taken}");
    let ports = json!({"ports": [{"port": 80, "nodePort": port}]});
    let (code, taken) = admin.post(services, &service("t", ports.clone())).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken["message"].as_str().unwrap().contains("provided port is already allocated"), "{taken}");
    let (code, address) = admin.get(&format!("/apis/networking.k8s.io/v1/ipaddresses/{}", ip.as_str().unwrap())).await;
    assert_eq!((code, &address["spec"]["parentRef"]["name"]), (StatusCode::OK, &json!("s")));

    let directory = Arc::clone(&fixture.directory);
    drop(admin);
    drop(fixture);
    // The store is free again when the last task of the old server has ended.
    let stop = CancellationToken::new();
    let restarted = async {
        loop {
            match Server::start(settings(directory.path()), stop.clone()).await {
                Ok(server) => break server,
                Err(_locked) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let server = tokio::time::timeout(Duration::from_secs(20), restarted).await.unwrap();
    let fixture = Fixture { server, stop, directory };
    let admin = fixture.admin();
    assert_eq!(admin.get(&format!("{services}/s")).await.1["spec"]["clusterIP"], ip);
    assert_eq!(admin.post(services, &service("t", ports.clone())).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(admin.delete(&format!("{services}/s")).await.0, StatusCode::OK);
    let (code, reused) = admin.post(services, &service("t", ports)).await;
    assert_eq!(code, StatusCode::CREATED, "{reused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_health() {
    let fixture = start().await;
    let admin = fixture.admin();
    assert_eq!(admin.get("/readyz").await, (StatusCode::OK, json!("ok")));
    let (code, verbose) = admin.get("/readyz?verbose").await;
    assert_eq!(code, StatusCode::OK);
    assert!(verbose.as_str().unwrap().contains("[+]etcd ok\n"), "{verbose}");
    assert_eq!(admin.get("/version").await.1["minor"], "34");
    assert_eq!(admin.get("/api/v1").await.1["kind"], "APIResourceList");
    assert_eq!(admin.get("/apis/none.example/v1").await.0, StatusCode::NOT_FOUND);
    assert_eq!(fixture.user("nobody").get("/metrics").await.0, StatusCode::FORBIDDEN);
    let namespaces = admin.get("/api/v1/namespaces").await.1;
    assert_eq!(namespaces["items"].as_array().unwrap().len(), 4);
}

/// Runs kubectl and gives what it printed.
#[expect(clippy::disallowed_methods, reason = "this test is about kubectl")]
async fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write as _;
    let (kubeconfig, input) = (kubeconfig.to_owned(), input.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let run = move || {
        let mut child = std::process::Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_sees_kubernetes() {
    if std::env::var_os("SKEP_TEST_ROOT").is_none() {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let server = Server::start(settings(directory.path()), stop.clone()).await.unwrap();
    let address = server.addresses()[0];
    let serving = tokio::spawn(server.serve());
    let pki = directory.path().join("pki");
    let file = |name: &str| pki.join(name).display().to_string();
    let kubeconfig = directory.path().join("kubeconfig");
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://{address}"), "certificate-authority": file("ca.crt")}}],
        "users": [{"name": "u", "user": {"client-certificate": file("admin.crt"), "client-key": file("admin.key")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, document.to_string()).unwrap();
    let manifest = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}"#;
    let cases: [(&[&str], &str, bool, &str); 14] = [
        (&["version"], "", true, "Server Version: v1.34"),
        (&["create", "deployment", "web", "--image=x", "--replicas=2"], "", true, "deployment.apps/web created"),
        (&["get", "deployment", "web", "-o", "wide"], "", true, "web    0/2"),
        (&["scale", "deployment", "web", "--replicas=3"], "", true, "deployment.apps/web scaled"),
        (&["expose", "deployment", "web", "--port=80", "--type=NodePort"], "", true, "service/web exposed"),
        (&["get", "service", "web"], "", true, "NodePort"),
        (&["set", "image", "deployment/web", "x=y:2"], "", true, "image updated"),
        (&["apply", "-f", "-"], manifest, true, "configmap/m created"),
        (&["apply", "-f", "-"], manifest, true, "configmap/m unchanged"),
        (&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifest, true, "serverside-applied"),
        (&["label", "configmap", "m", "k=v"], "", true, "labeled"),
        (&["get", "configmaps", "-l", "k=v", "-o", "name"], "", true, "configmap/m"),
        (&["auth", "can-i", "list", "pods", "--as", "nobody"], "", false, "no"),
        (&["delete", "configmap", "m"], "", true, "configmap \"m\" deleted"),
    ];
    for (arguments, input, succeeds, expected) in cases {
        let (succeeded, text) = kubectl(&kubeconfig, arguments, input).await;
        assert_eq!(succeeded, succeeds, "kubectl {arguments:?}: {text}");
        assert!(text.contains(expected), "kubectl {arguments:?}: {text}");
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}
