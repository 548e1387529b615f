//! Garbage collector: deletes what has lost all its owners. From the metadata of all kinds; through [`graph`] (pure) to
//! deletions and finalizers.
//!
//! An owner may go in the background, in the foreground (after its dependents), or leave its dependents as orphans.
//!
//! ```text
//! discovery → a watch per kind → graph (who owns whom) → uids to check → live object → delete | cut the tie | finalize
//! ```

use crate::cluster::{Cluster, patched};
use crate::event_recorder::Occurrence;
use crate::informer::describe;
use crate::resource_list::{Resource, Resources};
use crate::sync::{SyncError, ignore_missing, is_code};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use futures::{StreamExt as _, pin_mut};
use graph::{FOREGROUND, Graph, Identity, ORPHAN, Observed, Owner, Tie, Todo};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, Patch, Preconditions, PropagationPolicy};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use ties::Ties;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub mod graph;
pub mod ties;

const NAME: &str = "garbage-collector-controller";
/// Objects that are checked at once.
const WORKERS: usize = 16;
/// Kinds are looked for again after this long even if no definition changed.
const REDISCOVER: Duration = Duration::from_secs(30);
/// A burst of changed definitions is one rediscovery.
const SETTLE: Duration = Duration::from_millis(100);

type Meta = PartialObjectMeta<DynamicObject>;

/// The collector.
pub struct GarbageCollector {
    cluster: Arc<Cluster>,
    graph: Mutex<Graph>,
    kinds: Mutex<HashMap<(String, String), Resource>>,
    queue: Arc<WorkQueue<Todo>>,
    definitions_changed: Notify,
}

struct Watch {
    stop: CancellationToken,
    listed: watch::Receiver<bool>,
}

impl GarbageCollector {
    /// Starts watching all kinds, and the workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let collector = Arc::new(Self {
            cluster: Arc::clone(cluster),
            graph: Mutex::new(Graph::default()),
            kinds: Mutex::new(HashMap::new()),
            queue: WorkQueue::new(),
            definitions_changed: Notify::new(),
        });
        let (listed, all_listed) = watch::channel(false);
        let (this, stop) = (Arc::clone(&collector), tasks.stop().clone());
        tasks.spawn_when_ready(async move { this.follow_kinds(listed, stop).await });
        let queue = Arc::clone(&collector.queue);
        tasks.spawn_workers(NAME, WORKERS, &queue, move |todo| {
            let (this, mut all_listed) = (Arc::clone(&collector), all_listed.clone());
            async move {
                // Before all kinds are listed an owner may only seem to be absent.
                if all_listed.wait_for(|listed| *listed).await.is_err() {
                    return Ok(());
                }
                Box::pin(this.work(&todo)).await
            }
        });
    }

    async fn follow_kinds(self: Arc<Self>, listed: watch::Sender<bool>, stop: CancellationToken) {
        let mut watches: HashMap<Resource, Watch> = HashMap::new();
        loop {
            match Resources::discover(&self.cluster.client).await {
                Err(error) => tracing::warn!(error = %describe(&error), "kinds not discovered, will retry"),
                Ok(resources) => {
                    self.follow_these(&resources, &mut watches, &stop);
                    for watch in watches.values_mut() {
                        // A kind that cannot be listed must not hold up the collection of all others.
                        let wait = watch.listed.wait_for(|listed| *listed);
                        if tokio::time::timeout(REDISCOVER, wait).await.is_err() {
                            tracing::warn!("a kind is not listed yet, its objects are not collected");
                        }
                    }
                    listed.send_replace(true);
                }
            }
            tokio::select! {
                () = self.definitions_changed.notified() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(REDISCOVER) => {}
            }
        }
    }

    fn follow_these(
        self: &Arc<Self>,
        found: &Resources,
        watches: &mut HashMap<Resource, Watch>,
        stop: &CancellationToken,
    ) {
        let wanted: HashSet<&Resource> = found
            .all
            .iter()
            .filter(|resource| resource.can(&["list", "watch", "delete"]) && resource.api.plural != "events")
            .collect();
        let stale = |resource: &Resource| found.stale.contains(&resource.api.api_version);
        watches.retain(|resource, watch| {
            let keep = wanted.contains(resource) || stale(resource);
            if !keep {
                watch.stop.cancel();
            }
            keep
        });
        {
            let mut kinds = self.kinds.lock();
            for resource in &wanted {
                kinds.insert((resource.api.group.clone(), resource.api.kind.clone()), (*resource).clone());
            }
        }
        for resource in wanted {
            if watches.contains_key(resource) {
                continue;
            }
            let (sender, listed) = watch::channel(false);
            let watch = Watch { stop: stop.child_token(), listed };
            tokio::spawn(follow(Arc::clone(self), resource.clone(), sender, watch.stop.clone()));
            watches.insert(resource.clone(), watch);
        }
    }

    fn observe(&self, resource: &Arc<Resource>, meta: &ObjectMeta) -> String {
        let observed = observed(resource, meta);
        let uid = observed.uid.clone();
        let todo = self.graph.lock().observe(observed);
        self.add_all(todo);
        if matches!(resource.api.plural.as_str(), "customresourcedefinitions" | "apiservices") {
            self.definitions_changed.notify_one();
        }
        uid
    }

    fn gone(&self, uid: &str) {
        let (tie, todo) = {
            let mut graph = self.graph.lock();
            (graph.tie(uid), graph.remove(uid))
        };
        if let Some(tie) = tie.filter(|tie| !tie.id.namespace.is_empty()) {
            self.cluster.removals.report(&tie.id.namespace);
        }
        self.add_all(todo);
    }

    fn add_all(&self, todo: Vec<Todo>) {
        for todo in todo {
            self.queue.add(todo);
        }
    }

    async fn work(&self, todo: &Todo) -> Result<(), SyncError> {
        match todo {
            Todo::Check(uid) => self.check(uid).await,
            Todo::Orphan(uid) => self.orphan(uid).await,
        }
    }

    fn api(&self, id: &Identity) -> Api<DynamicObject> {
        let client: Client = self.cluster.client.clone();
        if id.namespace.is_empty() {
            Api::all_with(client, &id.resource.api)
        } else {
            Api::namespaced_with(client, &id.namespace, &id.resource.api)
        }
    }

    /// Looks whether an object must go because of its owners.
    async fn check(&self, uid: &str) -> Result<(), SyncError> {
        let Some(tie) = self.graph.lock().tie(uid) else { return Ok(()) };
        if tie.foreground {
            return self.end_foreground(&tie).await;
        }
        if tie.deleting || tie.owners.is_empty() {
            return Ok(());
        }
        if self.verdict(&tie).await?.is_nothing() {
            return Ok(());
        }
        // The graph may be older than the object: an owner's last act is often to let its dependents go.
        let Some(live) = ignore_missing(self.api(&tie.id).get_metadata(&tie.id.name).await)? else {
            self.gone(uid);
            return Ok(());
        };
        if live.metadata.uid.as_deref() != Some(uid) {
            self.gone(uid);
            return Ok(());
        }
        self.observe(&tie.id.resource, &live.metadata);
        let Some(tie) = self.graph.lock().tie(uid) else { return Ok(()) };
        let verdict = self.verdict(&tie).await?;
        if tie.deleting || verdict.is_nothing() {
            return Ok(());
        }
        self.carry_out(&tie, &live, verdict).await
    }

    async fn carry_out(&self, tie: &Tie, live: &Meta, verdict: Verdict) -> Result<(), SyncError> {
        if verdict.solid > 0 {
            let lost = |uid: &str| verdict.absent.iter().chain(&verdict.waiting).any(|other| other == uid);
            let kept = owners_json(live, |owner| !lost(owner));
            return self.patch(&tie.id, live, json!({"ownerReferences": kept})).await;
        }
        let has = |finalizer: &str| live.metadata.finalizers.iter().flatten().any(|name| name == finalizer);
        let policy = if !verdict.waiting.is_empty() && tie.has_dependents {
            PropagationPolicy::Foreground
        } else if has(ORPHAN) {
            PropagationPolicy::Orphan
        } else if has(FOREGROUND) {
            PropagationPolicy::Foreground
        } else {
            PropagationPolicy::Background
        };
        let preconditions =
            Preconditions { uid: live.metadata.uid.clone(), resource_version: live.metadata.resource_version.clone() };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        ignore_missing(self.api(&tie.id).delete(&tie.id.name, &params).await)?;
        Ok(())
    }

    /// Which owners are there, which are gone, and which wait for their dependents' end.
    async fn verdict(&self, tie: &Tie) -> Result<Verdict, SyncError> {
        let mut verdict = Verdict::default();
        for owner in &tie.owners {
            let known = self.graph.lock().owner_state(&owner.uid, &tie.id.namespace);
            let state = match known {
                Some(state) => state,
                None => self.ask_for_owner(tie, owner).await?,
            };
            match state {
                graph::OwnerState::Solid => verdict.solid += 1,
                graph::OwnerState::WaitsForDependents => verdict.waiting.push(owner.uid.clone()),
                graph::OwnerState::Absent => verdict.absent.push(owner.uid.clone()),
                graph::OwnerState::OtherNamespace => {
                    self.report_other_namespace(tie, owner);
                    verdict.absent.push(owner.uid.clone());
                }
            }
        }
        Ok(verdict)
    }

    async fn ask_for_owner(&self, tie: &Tie, owner: &Owner) -> Result<graph::OwnerState, SyncError> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let kind = self.kinds.lock().get(&(group.to_owned(), owner.kind.clone())).cloned();
        let Some(resource) = kind else {
            return Err(SyncError::NotYet(format!("owner kind {} {} is not known", owner.api_version, owner.kind)));
        };
        if resource.namespaced && tie.id.namespace.is_empty() {
            // A cluster-scoped object cannot have such an owner; it is kept, as nothing says where to look.
            return Err(SyncError::NotYet(format!("owner {} of a cluster-scoped object is namespaced", owner.name)));
        }
        let namespace = if resource.namespaced { tie.id.namespace.clone() } else { String::new() };
        let id = Identity { resource: Arc::new(resource), namespace, name: owner.name.clone() };
        let live = ignore_missing(self.api(&id).get_metadata(&id.name).await)?;
        let Some(live) = live.filter(|live| live.metadata.uid.as_deref() == Some(owner.uid.as_str())) else {
            self.graph.lock().remember_absent(&owner.uid);
            return Ok(graph::OwnerState::Absent);
        };
        let waits = live.metadata.deletion_timestamp.is_some()
            && live.metadata.finalizers.iter().flatten().any(|name| name == FOREGROUND);
        Ok(if waits { graph::OwnerState::WaitsForDependents } else { graph::OwnerState::Solid })
    }

    fn report_other_namespace(&self, tie: &Tie, owner: &Owner) {
        self.cluster.recorder.record(Occurrence {
            component: NAME,
            about: ObjectReference {
                api_version: Some(tie.id.resource.api.api_version.clone()),
                kind: Some(tie.id.resource.api.kind.clone()),
                namespace: Some(tie.id.namespace.clone()),
                name: Some(tie.id.name.clone()),
                uid: Some(tie.uid.clone()),
                ..ObjectReference::default()
            },
            severity: "Warning",
            reason: "OwnerRefInvalidNamespace",
            message: format!(
                "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace \"{}\"",
                owner.api_version, owner.kind, tie.id.namespace, owner.name, owner.uid, tie.id.namespace
            ),
        });
    }

    /// Lets an owner go whose dependents are gone, else sees to those that are left.
    async fn end_foreground(&self, tie: &Tie) -> Result<(), SyncError> {
        let blocking = self.graph.lock().blocking_dependents(&tie.uid);
        if blocking.is_empty() {
            return self.remove_finalizer(&tie.id, &tie.uid, FOREGROUND).await;
        }
        self.add_all(blocking.into_iter().map(Todo::Check).collect());
        Ok(())
    }

    /// Cuts the ties of an owner to its dependents, then lets it go.
    async fn orphan(&self, uid: &str) -> Result<(), SyncError> {
        let Some(tie) = self.graph.lock().tie(uid) else { return Ok(()) };
        let dependents = self.graph.lock().dependents(uid);
        let mut errors = Vec::new();
        for id in dependents {
            if let Err(error) = self.cut(&id, uid).await {
                errors.push(error);
            }
        }
        SyncError::all(errors)?;
        self.remove_finalizer(&tie.id, uid, ORPHAN).await
    }

    async fn cut(&self, id: &Identity, owner: &str) -> Result<(), SyncError> {
        let Some(live) = ignore_missing(self.api(id).get_metadata(&id.name).await)? else { return Ok(()) };
        if !live.metadata.owner_references.iter().flatten().any(|reference| reference.uid == owner) {
            return Ok(());
        }
        let kept = owners_json(&live, |uid| uid != owner);
        self.patch(id, &live, json!({"ownerReferences": kept})).await
    }

    async fn remove_finalizer(&self, id: &Identity, uid: &str, finalizer: &str) -> Result<(), SyncError> {
        let Some(live) = ignore_missing(self.api(id).get_metadata(&id.name).await)? else { return Ok(()) };
        let finalizers = live.metadata.finalizers.clone().unwrap_or_default();
        if live.metadata.uid.as_deref() != Some(uid) || !finalizers.iter().any(|name| name == finalizer) {
            return Ok(());
        }
        let kept: Vec<String> = finalizers.into_iter().filter(|name| name != finalizer).collect();
        self.patch(id, &live, json!({"finalizers": kept})).await
    }

    async fn patch(&self, id: &Identity, live: &Meta, mut metadata: Value) -> Result<(), SyncError> {
        metadata["resourceVersion"] = json!(live.metadata.resource_version);
        metadata["uid"] = json!(live.metadata.uid);
        let patch = Patch::Merge(json!({"metadata": metadata}));
        ignore_missing(self.api(id).patch_metadata(&id.name, &patched(), &patch).await)?;
        Ok(())
    }
}

/// What is known about an object's owners.
#[derive(Debug, Default)]
struct Verdict {
    solid: usize,
    waiting: Vec<String>,
    absent: Vec<String>,
}

impl Verdict {
    fn is_nothing(&self) -> bool {
        self.waiting.is_empty() && self.absent.is_empty()
    }
}

fn owners_json(live: &Meta, keep: impl Fn(&str) -> bool) -> Value {
    let owners = live.metadata.owner_references.iter().flatten();
    json!(owners.filter(|owner| keep(&owner.uid)).collect::<Vec<_>>())
}

fn observed(resource: &Arc<Resource>, meta: &ObjectMeta) -> Observed {
    let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|name| name == finalizer);
    Observed {
        uid: meta.uid.clone().unwrap_or_default(),
        id: Identity {
            resource: Arc::clone(resource),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        },
        owners: meta
            .owner_references
            .iter()
            .flatten()
            .map(|owner| Owner {
                uid: owner.uid.clone(),
                api_version: owner.api_version.clone(),
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                blocks: owner.block_owner_deletion == Some(true),
            })
            .collect(),
        deleting: meta.deletion_timestamp.is_some(),
        foreground: has(FOREGROUND),
        orphan: has(ORPHAN),
    }
}

async fn follow(
    collector: Arc<GarbageCollector>,
    resource: Resource,
    listed: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let resource = Arc::new(resource);
    let api: Api<Ties> = Api::all_with(collector.cluster.client.clone(), &resource.api);
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    pin_mut!(stream);
    let mut known: HashSet<String> = HashSet::new();
    let mut listing: Option<HashSet<String>> = None;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = stream.next() => event,
        };
        match event {
            None => break,
            Some(Err(watcher::Error::InitialListFailed(error))) if is_code(&error, 404) => {
                // The kind's definition is gone or not served yet; discovery will tell.
                listed.send_replace(true);
            }
            Some(Err(error)) => {
                tracing::debug!(kind = %resource.name(), error = %describe(&error), "watch broke, will retry");
            }
            Some(Ok(watcher::Event::Init)) => listing = Some(HashSet::new()),
            Some(Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object))) => {
                let uid = collector.observe(&resource, &object.metadata);
                if let Some(listing) = &mut listing {
                    listing.insert(uid.clone());
                }
                known.insert(uid);
            }
            Some(Ok(watcher::Event::Delete(object))) => {
                let uid = object.metadata.uid.unwrap_or_default();
                known.remove(&uid);
                collector.gone(&uid);
                if resource.api.plural == "customresourcedefinitions" {
                    collector.definitions_changed.notify_one();
                }
            }
            Some(Ok(watcher::Event::InitDone)) => {
                if let Some(current) = listing.take() {
                    for uid in known.difference(&current) {
                        collector.gone(uid);
                    }
                    known = current;
                }
                listed.send_replace(true);
            }
        }
    }
    // The kind is no longer served: its objects are out of sight, which says nothing about their dependents.
    let mut graph = collector.graph.lock();
    for uid in &known {
        graph.lose_sight(uid);
    }
}
