//! DaemonSets: one pod on each node that they belong to. From nodes and pods; through [`plan`] (pure) to pods and status.

use crate::adoption::settle;
use crate::cluster::{Cluster, controller_object, written};
use crate::expectations::Expectations;
use crate::history::{self, hash_of};
use crate::informer::Change;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::owners::{claim, controller_of};
use crate::pod_control::PodControl;
use crate::pod_state;
use crate::sync::SyncError;
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use plan::View;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub mod plan;
pub mod pods;

const COMPONENT: &str = "daemonset-controller";
const WORKERS: usize = 4;

/// The controller.
pub struct DaemonSetController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
    expectations: Arc<Expectations>,
    pods: PodControl,
}

impl DaemonSetController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let expectations = Arc::new(Expectations::default());
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            queue: Arc::clone(&queue),
            expectations: Arc::clone(&expectations),
            pods: PodControl::new(Arc::clone(cluster), COMPONENT, expectations),
        });
        let this = Arc::clone(&controller);
        cluster.informers.daemon_sets.on_change(move |change| {
            let Some(set) = change.latest() else { return };
            let key = ObjectKey::of(&**set);
            if change.new.is_none() {
                this.expectations.forget(&key);
            }
            this.queue.add(key);
        });
        let this = Arc::clone(&controller);
        cluster.informers.pods.on_change(move |change| this.pod_changed(change));
        let this = Arc::clone(&controller);
        cluster.informers.nodes.on_change(move |change| this.node_changed(change));
        tasks.spawn_workers(COMPONENT, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn node_changed(&self, change: &Change<'_, Node>) {
        let facts = |node: &Node| {
            let spec = node.spec.as_ref();
            (
                node.metadata.labels.clone(),
                spec.and_then(|spec| spec.taints.clone()),
                spec.and_then(|spec| spec.unschedulable),
            )
        };
        if let (Some(old), Some(new)) = (change.old, change.new)
            && facts(old) == facts(new)
        {
            return;
        }
        for key in self.cluster.informers.daemon_sets.keys() {
            self.queue.add(key);
        }
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let sets = &self.cluster.informers.daemon_sets;
        if let Some(owner) = change.latest().and_then(|pod| controller_object(&**pod, sets)) {
            let key = ObjectKey::of(&*owner);
            match (change.old, change.new) {
                (None, Some(_)) => self.expectations.created(&key),
                (Some(pod), None) => {
                    self.expectations.deleted(&key, pod.metadata.uid.as_deref().unwrap_or_default());
                }
                (Some(_), Some(pod)) if pod_state::is_terminating(pod) => {
                    self.expectations.deleted(&key, pod.metadata.uid.as_deref().unwrap_or_default());
                }
                (Some(_) | None, _) => {}
            }
            self.queue.add(key);
        }
        let Some(orphan) = change.new.filter(|pod| controller_of(&***pod).is_none()) else { return };
        for set in sets.in_namespace(orphan.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = Selector::of(set.spec.as_ref().map(|spec| &spec.selector));
            if selector.matches(orphan.metadata.labels.as_ref()) {
                self.queue.add(ObjectKey::of(&*set));
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(set) = self.cluster.informers.daemon_sets.get(key) else {
            self.expectations.forget(key);
            return Ok(());
        };
        let Some(spec) = set.spec.as_ref().filter(|_| set.metadata.deletion_timestamp.is_none()) else {
            return Ok(());
        };
        let selector = Selector::of(Some(&spec.selector));
        if selector.is_everything() {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.".to_owned();
            self.cluster.recorder.warning(COMPONENT, &*set, "SelectingAll", message);
            return Ok(());
        }
        let revisions = history::revisions(&self.cluster, &*set, &selector).await?;
        let before = set.status.clone().unwrap_or_default();
        let mut collisions = before.collision_count.unwrap_or(0);
        let revision =
            history::current_revision(&self.cluster, &*set, &spec.template, &revisions, &mut collisions).await;
        if revision.is_err() && collisions > before.collision_count.unwrap_or(0) {
            self.write_status(&set, DaemonSetStatus { collision_count: Some(collisions), ..before }).await?;
        }
        let revision = revision?;
        let pods = self.claim_pods(&set, &selector).await?;
        let nodes = self.cluster.informers.nodes.all();
        let view = View { set: &set, pods: &pods, nodes: &nodes, hash: hash_of(&revision), now: Timestamp::now() };
        let plan = plan::plan(&view);
        let mut outcome = Ok(());
        if self.expectations.fulfilled(key) {
            outcome = self.pods.delete_many(&*set, key, &plan.delete).await;
            if outcome.is_ok() {
                outcome = self.create(&set, key, &plan.create, hash_of(&revision)).await;
            }
        }
        let status = DaemonSetStatus {
            collision_count: set.status.as_ref().and_then(|status| status.collision_count),
            ..plan.status
        };
        if set.status.as_ref() != Some(&status) {
            self.write_status(&set, status).await?;
        }
        outcome?;
        if let Some(seconds) = plan.look_again {
            self.queue.add_after(key.clone(), Duration::from_secs(seconds));
        }
        let mut in_use: HashSet<String> =
            pods.iter().filter_map(|pod| pods::revision_hash(pod).map(str::to_owned)).collect();
        in_use.insert(hash_of(&revision).to_owned());
        history::truncate(&self.cluster, &revisions, &in_use, spec.revision_history_limit.unwrap_or(10)).await
    }

    async fn create(
        &self,
        set: &Arc<DaemonSet>,
        key: &ObjectKey,
        nodes: &[String],
        hash: &str,
    ) -> Result<(), SyncError> {
        let make = |number: usize| {
            let node = nodes.get(number).map(String::as_str).unwrap_or_default();
            Ok(pods::new_pod(set, node, hash))
        };
        self.pods.create_many(&**set, key, nodes.len(), make).await
    }

    async fn write_status(&self, set: &DaemonSet, status: DaemonSetStatus) -> Result<(), SyncError> {
        let key = ObjectKey::of(set);
        let updated = DaemonSet { status: Some(status), ..set.clone() };
        let api = self.cluster.api::<DaemonSet>(&key.namespace);
        api.replace_status(&key.name, &written(), &updated).await?;
        Ok(())
    }

    async fn claim_pods(&self, set: &Arc<DaemonSet>, selector: &Selector) -> Result<Vec<Arc<Pod>>, SyncError> {
        let candidates = self.cluster.informers.pods.claimable_by(&set.metadata);
        settle(&self.cluster, claim(candidates, &set.metadata, selector), &**set).await
    }
}
