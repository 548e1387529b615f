//! StatefulSets: pods with names, volumes and an order that stay. From informers; through [`plan`] (pure) to pods, claims
//! and status.

use crate::adoption::settle;
use crate::cluster::{Cluster, controller_object, written};
use crate::expectations::Expectations;
use crate::history::{self, name_of, template_of};
use crate::informer::Change;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::owners::{claim, controller_of};
use crate::pod_control::PodControl;
use crate::sync::{SyncError, has_reason, message_of};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::Patch;
use plan::{Operation, View};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub mod identity;
pub mod plan;

const COMPONENT: &str = "statefulset-controller";
const WORKERS: usize = 5;

/// The controller.
pub struct StatefulSetController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
    pods: PodControl,
}

impl StatefulSetController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            queue: Arc::clone(&queue),
            pods: PodControl::new(Arc::clone(cluster), COMPONENT, Arc::new(Expectations::default())),
        });
        let to = Arc::clone(&queue);
        cluster.informers.stateful_sets.on_change(move |change| {
            if let Some(set) = change.latest() {
                to.add(ObjectKey::of(&**set));
            }
        });
        let this = Arc::clone(&controller);
        cluster.informers.pods.on_change(move |change| this.pod_changed(change));
        tasks.spawn_workers(COMPONENT, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let sets = &self.cluster.informers.stateful_sets;
        for pod in [change.old, change.new].into_iter().flatten() {
            if let Some(owner) = controller_object(&**pod, sets) {
                self.queue.add(ObjectKey::of(&*owner));
            }
        }
        let Some(orphan) = change.new.filter(|pod| controller_of(&***pod).is_none()) else { return };
        for set in sets.in_namespace(orphan.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = Selector::of(set.spec.as_ref().map(|spec| &spec.selector));
            let set_name = set.metadata.name.as_deref().unwrap_or_default();
            if selector.matches(orphan.metadata.labels.as_ref()) && identity::ordinal(set_name, orphan).is_some() {
                self.queue.add(ObjectKey::of(&*set));
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(set) = self.cluster.informers.stateful_sets.get(key) else { return Ok(()) };
        let Some(spec) = &set.spec else { return Ok(()) };
        let selector = Selector::of(Some(&spec.selector));
        let pods = self.claim_pods(&set, &selector).await?;
        let revisions = history::revisions(&self.cluster, &*set, &selector).await?;
        let before = set.status.clone().unwrap_or_default();
        let mut collisions = before.collision_count.unwrap_or(0);
        let update = history::current_revision(&self.cluster, &*set, &spec.template, &revisions, &mut collisions).await;
        if update.is_err() && Some(collisions) > before.collision_count {
            let status = StatefulSetStatus { collision_count: Some(collisions), ..before.clone() };
            self.write_status(&set, status).await?;
        }
        let update = update?;
        let current = revisions.iter().find(|r| before.current_revision.as_deref() == Some(name_of(r)));
        let current = current.map_or_else(|| Arc::clone(&update), Arc::clone);
        let view = View {
            set: &set,
            pods: &pods,
            current: name_of(&current).to_owned(),
            update: name_of(&update).to_owned(),
            collisions,
            now: Timestamp::now(),
        };
        let plan = plan::plan(&view);
        let mut outcome = Ok(());
        for operation in plan.operations {
            outcome = self.execute(&set, operation, &current, &update).await;
            if outcome.is_err() {
                break;
            }
        }
        if set.status.as_ref() != Some(&plan.status) {
            self.write_status(&set, plan.status).await?;
        }
        outcome?;
        if let Some(seconds) = plan.look_again {
            self.queue.add_after(key.clone(), Duration::from_secs(seconds));
        }
        let mut in_use: HashSet<String> =
            pods.iter().filter_map(|pod| identity::revision(pod).map(str::to_owned)).collect();
        in_use.extend([name_of(&current).to_owned(), name_of(&update).to_owned()]);
        history::truncate(&self.cluster, &revisions, &in_use, spec.revision_history_limit.unwrap_or(10)).await
    }

    async fn claim_pods(&self, set: &Arc<StatefulSet>, selector: &Selector) -> Result<Vec<Arc<Pod>>, SyncError> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let mut candidates = self.cluster.informers.pods.claimable_by(&set.metadata);
        candidates.retain(|pod| identity::ordinal(name, pod).is_some());
        settle(&self.cluster, claim(candidates, &set.metadata, selector), &**set).await
    }

    async fn write_status(&self, set: &StatefulSet, status: StatefulSetStatus) -> Result<(), SyncError> {
        let key = ObjectKey::of(set);
        let updated = StatefulSet { status: Some(status), ..set.clone() };
        let api = self.cluster.api::<StatefulSet>(&key.namespace);
        api.replace_status(&key.name, &written(), &updated).await?;
        Ok(())
    }

    async fn execute(
        &self,
        set: &Arc<StatefulSet>,
        operation: Operation,
        current: &ControllerRevision,
        update: &ControllerRevision,
    ) -> Result<(), SyncError> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        match operation {
            Operation::Create { ordinal, revision } => {
                let source = if revision == name_of(current) { current } else { update };
                let template = template_of(source)
                    .ok_or_else(|| SyncError::NotYet(format!("revision {} holds no pod template", name_of(source))))?;
                self.create_claims(set, ordinal).await?;
                let pod = identity::new_pod(set, &template, ordinal, &revision);
                self.create_pod(set, namespace, &pod).await
            }
            Operation::Delete(pod) => self.delete_pod(set, &pod).await,
            Operation::Identify { pod, patch } => {
                let api = self.cluster.api::<Pod>(namespace);
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                api.patch(name, &crate::cluster::patched(), &Patch::Merge(patch)).await?;
                Ok(())
            }
        }
    }

    async fn create_pod(&self, set: &StatefulSet, namespace: &str, pod: &Pod) -> Result<(), SyncError> {
        let set_name = set.metadata.name.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let recorder = &self.cluster.recorder;
        match self.cluster.api::<Pod>(namespace).create(&written(), pod).await {
            Ok(_) => {
                let message = format!("create Pod {name} in StatefulSet {set_name} successful");
                recorder.normal(COMPONENT, set, "SuccessfulCreate", message);
                Ok(())
            }
            // The cache does not show it yet; its event brings the next round.
            Err(error) if has_reason(&error, "AlreadyExists") => Ok(()),
            Err(error) => {
                let message =
                    format!("create Pod {name} in StatefulSet {set_name} failed error: {}", message_of(&error));
                recorder.warning(COMPONENT, set, "FailedCreate", message);
                Err(error.into())
            }
        }
    }

    async fn delete_pod(&self, set: &StatefulSet, pod: &Pod) -> Result<(), SyncError> {
        let set_name = set.metadata.name.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match self.pods.delete_quietly(pod).await {
            Ok(_) => {
                let message = format!("delete Pod {name} in StatefulSet {set_name} successful");
                self.cluster.recorder.normal(COMPONENT, set, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) => {
                let message =
                    format!("delete Pod {name} in StatefulSet {set_name} failed error: {}", message_of(&error));
                self.cluster.recorder.warning(COMPONENT, set, "FailedDelete", message);
                Err(error.into())
            }
        }
    }

    async fn create_claims(&self, set: &StatefulSet, ordinal: i32) -> Result<(), SyncError> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let set_name = set.metadata.name.as_deref().unwrap_or_default();
        for claim in identity::claims(set, ordinal) {
            let key = ObjectKey::of(&claim);
            if self.cluster.informers.claims.get(&key).is_some() {
                continue;
            }
            let outcome = self.cluster.api::<PersistentVolumeClaim>(namespace).create(&written(), &claim).await;
            let what = format!("create Claim {} Pod {set_name}-{ordinal} in StatefulSet {set_name}", key.name);
            match outcome {
                Ok(_) => {
                    self.cluster.recorder.normal(COMPONENT, set, "SuccessfulCreate", format!("{what} success"));
                }
                Err(error) if has_reason(&error, "AlreadyExists") => {}
                Err(error) => {
                    let message = format!("{what} failed error: {}", message_of(&error));
                    self.cluster.recorder.warning(COMPONENT, set, "FailedCreate", message);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}
