//! Follows the kinds that scheduling looks at. From the API server's watches; to the scheduler's one task.

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Events that wait for the scheduler; a watch pauses when there are more.
const BACKLOG: usize = 4096;

/// Something that the scheduler must know.
#[derive(Debug)]
pub enum Input {
    Pod(Seen<Pod>),
    Node(Seen<Node>),
    Namespace(Seen<Namespace>),
    Service(Seen<Service>),
    Budget(Seen<PodDisruptionBudget>),
    /// The first full list of one kind is in.
    Listed,
    /// A request about a pod has ended.
    Done(Done),
}

/// Kinds of [`Input::Listed`].
pub const KINDS: usize = 5;

/// An object as it is now, or the key (`namespace/name`) of one that is gone.
#[derive(Debug)]
pub enum Seen<K> {
    Now(Box<K>),
    Gone(String),
}

/// The end of a request.
#[derive(Debug)]
pub enum Done {
    /// The pod with this uid has its node.
    Bound { uid: String },
    /// It could not be bound.
    NotBound { uid: String, error: String },
}

/// `namespace/name` of an object.
pub fn key_of<K: Resource>(object: &K) -> String {
    let meta = object.meta();
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&meta.namespace), part(&meta.name))
}

/// Starts all watches; the sender takes what else the scheduler must know.
pub fn follow_all(
    client: &Client,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> (mpsc::Sender<Input>, mpsc::Receiver<Input>) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let (to, until) = (&sender, stop);
    tasks.spawn(follow::<Node>(Api::all(client.clone()), to.clone(), Input::Node, until.clone()));
    tasks.spawn(follow::<Namespace>(Api::all(client.clone()), to.clone(), Input::Namespace, until.clone()));
    tasks.spawn(follow::<Service>(Api::all(client.clone()), to.clone(), Input::Service, until.clone()));
    tasks.spawn(follow::<PodDisruptionBudget>(Api::all(client.clone()), to.clone(), Input::Budget, until.clone()));
    tasks.spawn(follow::<Pod>(Api::all(client.clone()), to.clone(), Input::Pod, until.clone()));
    (sender, receiver)
}

async fn follow<K>(api: Api<K>, to: mpsc::Sender<Input>, wrap: fn(Seen<K>) -> Input, stop: CancellationToken)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    pin_mut!(stream);
    let mut known: HashSet<String> = HashSet::new();
    let mut listing: Option<HashSet<String>> = None;
    let mut listed = false;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = stream.next() => event,
        };
        let sent = match event {
            None => return,
            Some(Err(error)) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch broke, will retry");
                continue;
            }
            Some(Ok(watcher::Event::Init)) => {
                listing = Some(HashSet::new());
                continue;
            }
            Some(Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object))) => {
                let key = key_of(&object);
                if let Some(listing) = &mut listing {
                    listing.insert(key.clone());
                }
                known.insert(key);
                to.send(wrap(Seen::Now(Box::new(object)))).await
            }
            Some(Ok(watcher::Event::Delete(object))) => {
                let key = key_of(&object);
                known.remove(&key);
                to.send(wrap(Seen::Gone(key))).await
            }
            Some(Ok(watcher::Event::InitDone)) => {
                let current = listing.take().unwrap_or_default();
                let gone: Vec<String> = known.difference(&current).cloned().collect();
                known = current;
                let mut sent = Ok(());
                for key in gone {
                    sent = to.send(wrap(Seen::Gone(key))).await;
                }
                if !std::mem::replace(&mut listed, true) {
                    sent = to.send(Input::Listed).await;
                }
                sent
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
