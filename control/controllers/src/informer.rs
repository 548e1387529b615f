//! Keeps the store of one kind up to date. From an API server's watch; to handlers (which queue keys) and the store.

use crate::object_key::ObjectKey;
use crate::store::{IndexBy, Store};
use futures::{StreamExt as _, TryStreamExt as _, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a watched kind must be able to do.
pub trait Watched: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K> Watched for K where K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}

/// One object before and after a change; `old` is `None` for a new object, `new` for a deleted one.
#[derive(Debug)]
pub struct Change<'a, K> {
    /// The object as it was.
    pub old: Option<&'a Arc<K>>,
    /// The object as it is.
    pub new: Option<&'a Arc<K>>,
}

impl<'a, K> Change<'a, K> {
    /// The newest known form of the object.
    pub fn latest(&self) -> Option<&'a Arc<K>> {
        self.new.or(self.old)
    }
}

type Handler<K> = Box<dyn Fn(&Change<'_, K>) + Send + Sync>;

/// The shared view of one kind: a store that follows the API server, and handlers told of each change.
///
/// Handlers run in the watching task, after the store has changed, and must not block: they queue keys.
pub struct Informer<K: Watched> {
    store: RwLock<Store<K>>,
    handlers: RwLock<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
}

impl<K: Watched> Informer<K> {
    /// An informer without objects; [`Informer::run`] fills it.
    pub fn new(index_by: Option<IndexBy<K>>) -> Arc<Self> {
        Arc::new(Self {
            store: RwLock::new(Store::new(index_by)),
            handlers: RwLock::new(Vec::new()),
            synced: watch::Sender::new(false),
        })
    }

    /// Adds a handler. Objects known already are not reported again.
    pub fn on_change(&self, handler: impl Fn(&Change<'_, K>) + Send + Sync + 'static) {
        self.handlers.write().push(Box::new(handler));
    }

    /// Waits until the first full list is in the store.
    pub async fn wait_synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        if synced.wait_for(|done| *done).await.is_err() {
            tracing::debug!("informer ended before its first list");
        }
    }

    /// See [`Store::get`].
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.store.read().get(key)
    }

    /// See [`Store::all`].
    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.read().all()
    }

    /// See [`Store::keys`].
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.store.read().keys()
    }

    /// See [`Store::in_namespace`].
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.store.read().in_namespace(namespace)
    }

    /// See [`Store::owned_by`].
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.store.read().owned_by(uid)
    }

    /// The objects of an owner, and the orphans of its namespace.
    pub fn claimable_by(&self, owner: &ObjectMeta) -> Vec<Arc<K>> {
        let store = self.store.read();
        let mut candidates = store.owned_by(owner.uid.as_deref().unwrap_or_default());
        candidates.extend(store.orphans_in(owner.namespace.as_deref().unwrap_or_default()));
        candidates
    }

    /// See [`Store::indexed`].
    pub fn indexed(&self, value: &str) -> Vec<Arc<K>> {
        self.store.read().indexed(value)
    }

    /// Follows what `config` selects in `api` until `stop`; errors are retried with a growing pause.
    pub async fn run(self: Arc<Self>, api: Api<K>, config: watcher::Config, stop: CancellationToken) {
        let stream = watcher(api, config).default_backoff().map_err(|error| {
            tracing::warn!(kind = %K::kind(&()), error = %describe(&error), "watch broke, will retry");
        });
        pin_mut!(stream);
        let mut listed: Option<BTreeSet<ObjectKey>> = None;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = stream.next() => event,
            };
            match event {
                None => return,
                Some(Err(())) => {}
                Some(Ok(watcher::Event::Init)) => listed = Some(BTreeSet::new()),
                Some(Ok(watcher::Event::InitApply(object))) => {
                    if let Some(listed) = &mut listed {
                        listed.insert(ObjectKey::of(&object));
                    }
                    self.apply(object);
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    if let Some(listed) = listed.take() {
                        self.retain(&listed);
                    }
                    self.synced.send_replace(true);
                }
                Some(Ok(watcher::Event::Apply(object))) => self.apply(object),
                Some(Ok(watcher::Event::Delete(object))) => self.delete(object),
            }
        }
    }

    /// Takes in a new or changed object as the watch does.
    pub fn apply(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let new = Arc::new(object);
        let old = self.store.write().insert(Arc::clone(&new));
        if let Some(old) = &old
            && old.meta().resource_version == new.meta().resource_version
            && new.meta().resource_version.is_some()
        {
            return;
        }
        // A new object under an old name: report the end of the old one, so that nothing mixes the two up.
        if let Some(old) = &old
            && old.meta().uid != new.meta().uid
        {
            self.report(&Change { old: Some(old), new: None });
            self.report(&Change { old: None, new: Some(&new) });
            return;
        }
        self.report(&Change { old: old.as_ref(), new: Some(&new) });
    }

    /// Takes out a deleted object as the watch does.
    pub fn delete(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let old = self.store.write().remove(&ObjectKey::of(&object));
        // The final state in the event may be newer than the stored one.
        if old.is_some() {
            self.report(&Change { old: Some(&Arc::new(object)), new: None });
        }
    }

    fn retain(&self, listed: &BTreeSet<ObjectKey>) {
        let gone: Vec<Arc<K>> = {
            let mut store = self.store.write();
            let keys: Vec<ObjectKey> = store.keys().into_iter().filter(|key| !listed.contains(key)).collect();
            keys.iter().filter_map(|key| store.remove(key)).collect()
        };
        for old in &gone {
            self.report(&Change { old: Some(old), new: None });
        }
    }

    fn report(&self, change: &Change<'_, K>) {
        for handler in self.handlers.read().iter() {
            handler(change);
        }
    }
}

impl<K: Watched> Debug for Informer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Informer<{}>", K::kind(&()))
    }
}

/// The text of an error and of its causes.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
