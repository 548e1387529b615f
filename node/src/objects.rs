//! ConfigMaps and Secrets that pods refer to, each watched while some pod needs it; from the API; to environment, volumes
//! and pulls. Performs IO.
//!
//! Channels: API watch per object → [`Objects::get`]; a change → UID of every pod that uses the object, on `changed`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// How long a pod waits for the first answer about an object.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// The two kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `configmaps`
    ConfigMap,
    /// `secrets`
    Secret,
}

impl ObjectKind {
    /// As in error texts: `configmap`, `secret`.
    pub fn singular(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }

    /// The kind: `ConfigMap`, `Secret`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// A key.
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// What an object holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectData {
    /// Text and binary values by key.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Type of a Secret.
    pub secret_type: String,
}

impl From<ConfigMap> for ObjectData {
    fn from(object: ConfigMap) -> Self {
        let text = object.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
        let binary = object.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
        Self { values: text.chain(binary).collect(), secret_type: String::new() }
    }
}

impl From<Secret> for ObjectData {
    fn from(object: Secret) -> Self {
        let values = object.data.into_iter().flatten().map(|(key, value)| (key, value.0));
        Self { values: values.collect(), secret_type: object.type_.unwrap_or_default() }
    }
}

/// Why an object is not known.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// The API server does not answer, or refuses.
    #[error("get {kind} {namespace}/{name}: {reason}", kind = .key.kind.singular(), namespace = .key.namespace, name = .key.name)]
    Api {
        /// The object.
        key: ObjectKey,
        /// What went wrong.
        reason: String,
    },
    /// There is no API server (static pods only).
    #[error("{} {}/{} is wanted, but this kubelet has no API server", .0.kind.singular(), .0.namespace, .0.name)]
    NoApi(ObjectKey),
}

#[derive(Clone, Debug)]
enum Known {
    Unknown,
    Absent,
    Present(Arc<ObjectData>),
    Failed(String),
}

struct Watched {
    known: watch::Receiver<Known>,
    users: Arc<Mutex<HashSet<String>>>,
    _task: AbortOnDropHandle<()>,
}

/// The watched objects.
pub struct Objects {
    client: Option<Client>,
    changed: mpsc::UnboundedSender<String>,
    watched: Mutex<HashMap<ObjectKey, Watched>>,
}

impl Objects {
    /// No objects yet. `changed` gets the UID of every pod one of whose objects changed.
    pub fn new(client: Option<Client>, changed: mpsc::UnboundedSender<String>) -> Self {
        Self { client, changed, watched: Mutex::new(HashMap::new()) }
    }

    /// The object as it is now, `None` if there is none; from then on it is watched for the pod `user`.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn get(&self, key: &ObjectKey, user: &str) -> Result<Option<Arc<ObjectData>>, ObjectError> {
        let Some(client) = &self.client else { return Err(ObjectError::NoApi(key.clone())) };
        let mut known = {
            let mut watched = self.watched.lock();
            let entry = watched.entry(key.clone()).or_insert_with(|| self.watch(client, key));
            entry.users.lock().insert(user.to_owned());
            entry.known.clone()
        };
        let answered = known.wait_for(|known| !matches!(known, Known::Unknown));
        let answer = match tokio::time::timeout(FIRST_ANSWER, answered).await {
            Ok(Ok(known)) => known.clone(),
            Ok(Err(_closed)) => Known::Failed("the watch ended".to_owned()),
            Err(_elapsed) => Known::Failed("the API server did not answer in time".to_owned()),
        };
        match answer {
            Known::Present(data) => Ok(Some(data)),
            Known::Absent => Ok(None),
            Known::Failed(reason) => Err(ObjectError::Api { key: key.clone(), reason }),
            Known::Unknown => Err(ObjectError::Api { key: key.clone(), reason: "not known yet".to_owned() }),
        }
    }

    /// All objects of a list that exist.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn get_all(
        &self,
        keys: &[ObjectKey],
        user: &str,
    ) -> Result<BTreeMap<ObjectKey, Arc<ObjectData>>, ObjectError> {
        let answers = keys.iter().map(|key| async move { Ok((key.clone(), self.get(key, user).await?)) });
        let answers = futures::future::try_join_all(answers).await?;
        Ok(answers.into_iter().filter_map(|(key, data)| Some((key, data?))).collect())
    }

    /// The pod `user` needs no objects any more.
    pub fn release(&self, user: &str) {
        self.watched.lock().retain(|_, entry| {
            let mut users = entry.users.lock();
            users.remove(user);
            !users.is_empty()
        });
    }

    fn watch(&self, client: &Client, key: &ObjectKey) -> Watched {
        let (sender, known) = watch::channel(Known::Unknown);
        let users = Arc::new(Mutex::new(HashSet::new()));
        let follow = Follow { sender, users: Arc::clone(&users), changed: self.changed.clone() };
        let (client, key) = (client.clone(), key.clone());
        let task = tokio::spawn(async move {
            match key.kind {
                ObjectKind::ConfigMap => {
                    follow.run(Api::<ConfigMap>::namespaced(client, &key.namespace), &key.name).await
                }
                ObjectKind::Secret => follow.run(Api::<Secret>::namespaced(client, &key.namespace), &key.name).await,
            }
        });
        Watched { known, users, _task: AbortOnDropHandle::new(task) }
    }
}

struct Follow {
    sender: watch::Sender<Known>,
    users: Arc<Mutex<HashSet<String>>>,
    changed: mpsc::UnboundedSender<String>,
}

impl Follow {
    async fn run<K>(self, api: Api<K>, name: &str)
    where
        K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + Into<ObjectData> + 'static,
    {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = kube::runtime::WatchStreamExt::default_backoff(watcher::watcher(api, config)).boxed();
        let mut listed = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = None,
                Ok(Event::InitApply(object)) => listed = Some(object),
                Ok(Event::InitDone) => match listed.take() {
                    Some(object) => self.set(Known::Present(Arc::new(object.into()))),
                    None => self.set(Known::Absent),
                },
                Ok(Event::Apply(object)) => self.set(Known::Present(Arc::new(object.into()))),
                Ok(Event::Delete(_)) => self.set(Known::Absent),
                Err(error) => {
                    let known = matches!(*self.sender.borrow(), Known::Present(_) | Known::Absent);
                    if !known {
                        self.set(Known::Failed(error.to_string()));
                    }
                }
            }
        }
    }

    fn set(&self, known: Known) {
        let different = match (&*self.sender.borrow(), &known) {
            (Known::Present(old), Known::Present(new)) => old != new,
            (Known::Absent, Known::Absent) => false,
            _ => true,
        };
        if different {
            self.sender.send_replace(known);
            for user in self.users.lock().iter() {
                // Nobody listens any more when the kubelet stops.
                drop(self.changed.send(user.clone()));
            }
        }
    }
}
