//! Deployments: moves pods from old ReplicaSets to the one of the current template. From informers; through a pure
//! decision ([`plan`]) to ReplicaSets and status.
//!
//! ```text
//! deployment, replica set, pod events → queue → claim replica sets → plan → operations, in order:
//!     revision · create · scale · clean up · status
//! ```

use crate::adoption::settle;
use crate::cluster::{Cluster, controller_object, now, patched, written};
use crate::informer::Change;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::owners::{claim, controller_of};
use crate::pod_control::has_cause;
use crate::pod_state;
use crate::sync::{SyncError, has_reason, ignore_missing, message_of};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, Preconditions};
use plan::{Operation, Rollout};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

pub mod plan;
pub mod revision;
pub mod sets;
pub mod status;

/// The reporting component of events.
const COMPONENT: &str = "deployment-controller";
/// Syncs that run at once.
const WORKERS: usize = 8;

/// The controller.
pub struct DeploymentController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
}

impl DeploymentController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), queue: Arc::clone(&queue) });
        let informers = &cluster.informers;
        let this = Arc::clone(&controller);
        informers.deployments.on_change(move |change| {
            if let Some(deployment) = change.latest() {
                this.queue.add(ObjectKey::of(&**deployment));
            }
        });
        let this = Arc::clone(&controller);
        informers.replica_sets.on_change(move |change| this.replica_set_changed(change));
        let this = Arc::clone(&controller);
        informers.pods.on_change(move |change| this.pod_changed(change));
        tasks.spawn_workers(COMPONENT, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn replica_set_changed(&self, change: &Change<'_, ReplicaSet>) {
        let deployments = &self.cluster.informers.deployments;
        for set in [change.old, change.new].into_iter().flatten() {
            if let Some(owner) = controller_object(&**set, deployments) {
                self.queue.add(ObjectKey::of(&*owner));
            }
        }
        let Some(set) = change.new.filter(|set| controller_of(&***set).is_none()) else { return };
        let unchanged = change.old.is_some_and(|old| {
            old.metadata.labels == set.metadata.labels && old.metadata.owner_references == set.metadata.owner_references
        });
        if unchanged {
            return;
        }
        for deployment in deployments.in_namespace(set.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
            if Selector::of(selector).matches(set.metadata.labels.as_ref()) {
                self.queue.add(ObjectKey::of(&*deployment));
            }
        }
    }

    /// The last old pod's end lets a Recreate deployment go on.
    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let Some(pod) = change.latest() else { return };
        if change.new.is_some_and(|pod| !pod_state::is_finished(pod)) {
            return;
        }
        let informers = &self.cluster.informers;
        let Some(set) = controller_object(&**pod, &informers.replica_sets) else { return };
        let Some(deployment) = controller_object(&*set, &informers.deployments) else { return };
        if sets::is_recreate(&deployment) {
            self.queue.add(ObjectKey::of(&*deployment));
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(deployment) = self.cluster.informers.deployments.get(key) else { return Ok(()) };
        let Some(spec) = &deployment.spec else { return Ok(()) };
        let selector = Selector::of(Some(&spec.selector));
        if selector.is_everything() {
            let message = "This deployment is selecting all pods. A non-empty selector is required.".to_owned();
            self.cluster.recorder.warning(COMPONENT, &*deployment, "SelectingAll", message);
            return Ok(());
        }
        let sets = self.claim_sets(&deployment, &selector).await?;
        let rollout = Rollout::new(&deployment, sets, now());
        let operations = plan::operations(&rollout, || self.old_pods_run(&rollout));
        self.execute(&deployment, &rollout, operations).await?;
        if let Some(pause) = status::next_check(&deployment, now()) {
            self.queue.add_after(key.clone(), pause);
        }
        Ok(())
    }

    async fn claim_sets(
        &self,
        deployment: &Arc<Deployment>,
        selector: &Selector,
    ) -> Result<Vec<Arc<ReplicaSet>>, SyncError> {
        let candidates = self.cluster.informers.replica_sets.claimable_by(&deployment.metadata);
        settle(&self.cluster, claim(candidates, &deployment.metadata, selector), &**deployment).await
    }

    fn old_pods_run(&self, rollout: &Rollout<'_>) -> bool {
        let pods = &self.cluster.informers.pods;
        rollout
            .old()
            .any(|set| set.actual() > 0 || pods.owned_by(set.uid()).iter().any(|pod| !pod_state::is_finished(pod)))
    }

    async fn execute(
        &self,
        deployment: &Arc<Deployment>,
        rollout: &Rollout<'_>,
        operations: Vec<Operation>,
    ) -> Result<(), SyncError> {
        let key = ObjectKey::of(&**deployment);
        let sets = self.cluster.api::<ReplicaSet>(&key.namespace);
        let mut current = Arc::clone(deployment);
        // Each change of a set must build on the one before it.
        let mut versions: HashMap<String, Option<String>> = HashMap::new();
        for operation in operations {
            match operation {
                Operation::SetRevision(annotations) => {
                    let patch = json!({"metadata": {
                        "resourceVersion": current.metadata.resource_version,
                        "annotations": annotations,
                    }});
                    let api = self.cluster.api::<Deployment>(&key.namespace);
                    current = Arc::new(api.patch(&key.name, &patched(), &Patch::Merge(patch)).await?);
                }
                Operation::Create(set) => self.create_set(&current, rollout, *set).await?,
                Operation::Change { set, patch, event } => {
                    let name = set.metadata.name.clone().unwrap_or_default();
                    let version = versions.entry(name.clone()).or_insert_with(|| set.metadata.resource_version.clone());
                    let mut patch = patch;
                    if let Some(metadata) = patch.pointer_mut("/metadata") {
                        metadata["resourceVersion"] = json!(version);
                    }
                    let changed = sets.patch(&name, &patched(), &Patch::Merge(patch)).await?;
                    *version = changed.metadata.resource_version;
                    if let Some(message) = event {
                        self.cluster.recorder.normal(COMPONENT, &**deployment, "ScalingReplicaSet", message);
                    }
                }
                Operation::Delete(set) => {
                    let preconditions = Preconditions { uid: set.metadata.uid.clone(), resource_version: None };
                    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                    let name = set.metadata.name.as_deref().unwrap_or_default();
                    ignore_missing(sets.delete(name, &params).await)?;
                }
                Operation::Status(status) => current = self.write_status(&current, *status).await?,
            }
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Arc<Deployment>,
        status: DeploymentStatus,
    ) -> Result<Arc<Deployment>, SyncError> {
        let key = ObjectKey::of(&**deployment);
        let updated = Deployment { status: Some(status), ..(**deployment).clone() };
        let api = self.cluster.api::<Deployment>(&key.namespace);
        Ok(Arc::new(api.replace_status(&key.name, &written(), &updated).await?))
    }

    async fn create_set(
        &self,
        deployment: &Arc<Deployment>,
        rollout: &Rollout<'_>,
        set: ReplicaSet,
    ) -> Result<(), SyncError> {
        let key = ObjectKey::of(&**deployment);
        let api = self.cluster.api::<ReplicaSet>(&key.namespace);
        let name = set.metadata.name.clone().unwrap_or_default();
        let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        let error = match api.create(&written(), &set).await {
            Ok(_) => {
                if replicas > 0 {
                    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
                    self.cluster.recorder.normal(COMPONENT, &**deployment, "ScalingReplicaSet", message);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if has_cause(&error, "NamespaceTerminating") {
            return Err(SyncError::NotYet("namespace is being deleted".to_owned()));
        }
        if has_reason(&error, "AlreadyExists") {
            let existing = api.get(&name).await?;
            if sets::is_same_set(deployment, &existing) {
                return Err(SyncError::NotYet(format!("replica set {name} exists, the cache does not show it yet")));
            }
            // Another template has this hash: count the collision, the next round makes another name.
            let mut status = deployment.status.clone().unwrap_or_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0).saturating_add(1));
            self.write_status(deployment, status).await?;
            return Err(SyncError::NotYet(format!("replica set name {name} is taken")));
        }
        let message = format!("Failed to create new replica set \"{name}\": {}", message_of(&error));
        self.cluster.recorder.warning(COMPONENT, &**deployment, "ReplicaSetCreateError", message.clone());
        if let Some(status) = status::creation_failed(rollout, message) {
            self.write_status(deployment, status).await?;
        }
        Err(error.into())
    }
}
