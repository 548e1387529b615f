//! `PodDisruptionBudget`s: how many pods of a group may be evicted now. From pods and their controllers; through [`budget`]
//! (pure) to status.

use crate::cluster::{Cluster, controller_object, now, written};
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::owners::controller_of;
use crate::pod_state;
use crate::sync::SyncError;
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use budget::{Expected, remembered, status};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub mod budget;

const COMPONENT: &str = "controllermanager";

/// The controller.
pub struct DisruptionController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
}

impl DisruptionController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), queue: Arc::clone(&queue) });
        let to = Arc::clone(&queue);
        cluster.informers.budgets.on_change(move |change| {
            if let Some(budget) = change.new {
                to.add(ObjectKey::of(&**budget));
            }
        });
        let this = Arc::clone(&controller);
        cluster.informers.pods.on_change(move |change| {
            for pod in [change.old, change.new].into_iter().flatten() {
                this.queue_budgets_of(pod);
            }
        });
        // The expected number follows the controllers' replicas.
        let this = Arc::clone(&controller);
        cluster.informers.replica_sets.on_change(move |change| {
            let uid = change.latest().and_then(|set| set.metadata.uid.clone()).unwrap_or_default();
            this.queue_budgets_of_owner(&uid);
        });
        let this = Arc::clone(&controller);
        cluster.informers.deployments.on_change(move |change| {
            let uid = change.latest().and_then(|deployment| deployment.metadata.uid.clone()).unwrap_or_default();
            for set in this.cluster.informers.replica_sets.owned_by(&uid) {
                this.queue_budgets_of_owner(set.metadata.uid.as_deref().unwrap_or_default());
            }
        });
        let this = Arc::clone(&controller);
        cluster.informers.stateful_sets.on_change(move |change| {
            let uid = change.latest().and_then(|set| set.metadata.uid.clone()).unwrap_or_default();
            this.queue_budgets_of_owner(&uid);
        });
        tasks.spawn_workers("disruption-controller", 2, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn queue_budgets_of_owner(&self, uid: &str) {
        if let Some(pod) = self.cluster.informers.pods.owned_by(uid).first() {
            self.queue_budgets_of(pod);
        }
    }

    fn queue_budgets_of(&self, pod: &Pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for budget in self.cluster.informers.budgets.in_namespace(namespace) {
            if selector(&budget).matches(pod.metadata.labels.as_ref()) {
                self.queue.add(ObjectKey::of(&*budget));
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(budget) = self.cluster.informers.budgets.get(key) else { return Ok(()) };
        let selector = selector(&budget);
        let mut pods = self.cluster.informers.pods.in_namespace(&key.namespace);
        pods.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
        if pods.is_empty() {
            self.cluster.recorder.normal(COMPONENT, &*budget, "NoPods", "No matching pods found".to_owned());
        }
        let now = now();
        let (disrupted, again) = remembered(&budget, &pods, &now);
        let status = status(&budget, &pods, &disrupted, &self.expected(&pods), &now);
        if budget.status.as_ref() != Some(&status) {
            let updated = PodDisruptionBudget { status: Some(status), ..(*budget).clone() };
            let api = self.cluster.api::<PodDisruptionBudget>(&key.namespace);
            api.replace_status(&key.name, &written(), &updated).await?;
        }
        if let Some(seconds) = again {
            self.queue.add_after(key.clone(), Duration::from_secs(seconds));
        }
        Ok(())
    }

    /// How many pods their controllers want.
    fn expected(&self, pods: &[Arc<Pod>]) -> Expected {
        let mut controllers: BTreeMap<String, Option<i32>> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| !pod_state::is_finished(pod)) {
            let Some(owner) = controller_of(&**pod) else { return Expected::Unmanaged };
            if !controllers.contains_key(&owner.uid) {
                let (uid, replicas) = self.wanted_by_controller(pod).unwrap_or_else(|| (owner.uid.clone(), None));
                controllers.insert(uid, replicas);
            }
        }
        let known: Option<Vec<i32>> = controllers.into_values().collect();
        known.map_or(Expected::Unmanaged, |known| Expected::Managed(known.into_iter().sum()))
    }

    fn wanted_by_controller(&self, pod: &Pod) -> Option<(String, Option<i32>)> {
        let informers = &self.cluster.informers;
        let uid =
            |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| meta.uid.clone().unwrap_or_default();
        if let Some(set) = controller_object(pod, &informers.replica_sets) {
            if let Some(deployment) = controller_object(&*set, &informers.deployments) {
                let replicas = deployment.spec.as_ref().map(|spec| spec.replicas.unwrap_or(1));
                return Some((uid(&deployment.metadata), replicas));
            }
            return Some((uid(&set.metadata), set.spec.as_ref().map(|spec| spec.replicas.unwrap_or(1))));
        }
        if let Some(set) = controller_object(pod, &informers.stateful_sets) {
            return Some((uid(&set.metadata), set.spec.as_ref().map(|spec| spec.replicas.unwrap_or(1))));
        }
        let controller = controller_object(pod, &informers.replication_controllers)?;
        Some((uid(&controller.metadata), controller.spec.as_ref().map(|spec| spec.replicas.unwrap_or(1))))
    }
}

fn selector(budget: &PodDisruptionBudget) -> Selector {
    Selector::of(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()))
}
