//! An API server as small as list and watch: four resources, resource versions, and a way to hold an answer back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Key = (String, String, String);

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    /// Every change so far: its index is its resource version.
    log: Vec<Value>,
    held: BTreeMap<String, bool>,
    asked_while_held: usize,
    lists: BTreeMap<String, usize>,
}

#[derive(Clone)]
pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<usize>,
    pub(crate) address: SocketAddr,
}

fn key(object: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Self { state: Arc::default(), changed: watch::channel(0).0, address };
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                let server = serving.clone();
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(&request).await) }
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        server
    }

    pub(crate) fn put(&self, object: Value) {
        let mut state = self.state.lock();
        let existed = state.objects.contains_key(&key(&object));
        self.record(&mut state, if existed { "MODIFIED" } else { "ADDED" }, object);
    }

    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let mut state = self.state.lock();
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let object = state.objects.get(&key).cloned().expect("it is there");
        self.record(&mut state, "DELETED", object);
        state.objects.remove(&key);
    }

    fn record(&self, state: &mut State, what: &str, mut object: Value) {
        object["metadata"]["resourceVersion"] = (state.log.len() + 1).to_string().into();
        state.objects.insert(key(&object), object.clone());
        state.log.push(json!({"type": what, "object": object}));
        self.changed.send_replace(state.log.len());
    }

    /// Lists of this kind are answered only after they are let go.
    pub(crate) fn hold(&self, kind: &str, is_held: bool) {
        self.state.lock().held.insert(kind.to_owned(), is_held);
        self.changed.send_modify(|_| {});
    }

    pub(crate) fn asked_while_held(&self) -> usize {
        self.state.lock().asked_while_held
    }

    pub(crate) fn lists_of(&self, kind: &str) -> usize {
        self.state.lock().lists.get(kind).copied().unwrap_or(0)
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let kind = match request.uri().path() {
            "/api/v1/services" => "Service",
            "/api/v1/nodes" => "Node",
            "/apis/networking.k8s.io/v1/servicecidrs" => "ServiceCIDR",
            "/apis/discovery.k8s.io/v1/endpointslices" => "EndpointSlice",
            other => unreachable!("the agent asks for {other}"),
        };
        let query = request.uri().query().unwrap_or_default();
        let parameter = |name: &str| query.split('&').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == name);
        if parameter("watch").is_some_and(|(_, value)| value == "true" || value == "1") {
            let from = parameter("resourceVersion").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            return Response::new(self.events(kind, from));
        }
        let is_held = |state: &Mutex<State>| state.lock().held.get(kind).copied().unwrap_or(false);
        let mut changed = self.changed.subscribe();
        if is_held(&self.state) {
            self.state.lock().asked_while_held += 1;
        }
        while is_held(&self.state) {
            changed.changed().await.expect("the server lives");
        }
        let mut state = self.state.lock();
        *state.lists.entry(kind.to_owned()).or_default() += 1;
        let items: Vec<&Value> =
            state.objects.iter().filter(|((k, ..), _)| k == kind).map(|(_, object)| object).collect();
        let list = json!({
            "kind": format!("{kind}List"), "apiVersion": "v1",
            "metadata": {"resourceVersion": state.log.len().to_string()}, "items": items,
        });
        Response::new(Full::new(Bytes::from(list.to_string())).boxed())
    }

    fn events(&self, kind: &'static str, from: usize) -> BoxBody<Bytes, Infallible> {
        let (state, changed) = (Arc::clone(&self.state), self.changed.subscribe());
        let stream = futures::stream::unfold((state, changed, from), move |(state, mut changed, mut at)| async move {
            loop {
                let next = state.lock().log.get(at).cloned();
                match next {
                    Some(event) => {
                        at += 1;
                        if event["object"]["kind"] == kind {
                            let line = Frame::data(Bytes::from(format!("{event}\n")));
                            return Some((Ok::<_, Infallible>(line), (state, changed, at)));
                        }
                    }
                    None => changed.changed().await.ok()?,
                }
            }
        });
        BodyExt::boxed(StreamBody::new(Shared(Mutex::new(stream.boxed()))))
    }
}

/// Makes a stream that one task polls shareable between threads, as a boxed body must be.
struct Shared<S>(Mutex<S>);

impl<S: futures::Stream + Unpin> futures::Stream for Shared<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.get_mut().0.get_mut().poll_next_unpin(context)
    }
}
