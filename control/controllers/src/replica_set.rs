//! ReplicaSets and ReplicationControllers: keep as many pods as asked. From informers; through a pure decision
//! ([`plan`]) to pods and status.
//!
//! ```text
//! pod, owner events → queue → claim pods (adopt, release) → plan (create n | delete these) → pods → status
//! ```

use crate::adoption::settle;
use crate::cluster::{Cluster, controller_object, now};
use crate::expectations::Expectations;
use crate::informer::{Change, Informer};
use crate::object_key::ObjectKey;
use crate::owners::{claim, controller_of};
use crate::pod_control::PodControl;
use crate::pod_state;
use crate::sync::SyncError;
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::Pod;
use plan::{Plan, decide};
use std::sync::Arc;
use std::time::Duration;
use target::{ReplicaOwner, Target};

pub mod plan;
pub mod target;

/// Syncs of one kind that run at once.
const WORKERS: usize = 8;

/// Keeps the pods of one kind of owner, [`ReplicaOwner`].
pub struct ReplicaController<O: ReplicaOwner> {
    cluster: Arc<Cluster>,
    owners: Arc<Informer<O>>,
    pods: PodControl,
    expectations: Arc<Expectations>,
    queue: Arc<WorkQueue<ObjectKey>>,
}

impl<O: ReplicaOwner> ReplicaController<O> {
    /// Registers handlers and starts workers; they work once `start` says so.
    pub fn start(cluster: &Arc<Cluster>, owners: &Arc<Informer<O>>, tasks: &mut Tasks) {
        let expectations = Arc::new(Expectations::default());
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            owners: Arc::clone(owners),
            pods: PodControl::new(Arc::clone(cluster), O::COMPONENT, Arc::clone(&expectations)),
            expectations,
            queue: WorkQueue::new(),
        });
        let this = Arc::clone(&controller);
        owners.on_change(move |change| this.owner_changed(change));
        let this = Arc::clone(&controller);
        cluster.informers.pods.on_change(move |change| this.pod_changed(change));
        let queue = Arc::clone(&controller.queue);
        tasks.spawn_workers(O::COMPONENT, WORKERS, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn owner_changed(&self, change: &Change<'_, O>) {
        let Some(owner) = change.latest() else { return };
        let key = ObjectKey::of(&**owner);
        if change.new.is_none() {
            self.expectations.forget(&key);
        }
        self.queue.add(key);
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        match (change.old, change.new) {
            (None, Some(pod)) if pod_state::is_terminating(pod) => self.pod_gone(pod),
            (None, Some(pod)) => {
                if let Some(owner) = controller_object(&**pod, &self.owners) {
                    let key = ObjectKey::of(&*owner);
                    self.expectations.created(&key);
                    self.queue.add(key);
                } else if controller_of(&**pod).is_none() {
                    self.queue_possible_owners(pod);
                }
            }
            (Some(old), Some(new)) => self.pod_updated(old, new),
            (Some(pod), None) => self.pod_gone(pod),
            (None, None) => {}
        }
    }

    fn pod_updated(&self, old: &Pod, new: &Pod) {
        if pod_state::is_terminating(new) {
            self.pod_gone(new);
            return;
        }
        let owner_before = controller_object(old, &self.owners);
        let owner = controller_object(new, &self.owners);
        if let Some(before) = owner_before
            && owner.as_ref().is_none_or(|now| now.meta().uid != before.meta().uid)
        {
            self.queue.add(ObjectKey::of(&*before));
        }
        if let Some(owner) = owner {
            let key = ObjectKey::of(&*owner);
            self.queue.add(key.clone());
            // Ready now, available later: nothing else would tell us when.
            let min_ready = Target::of(&*owner).map_or(0, |target| target.min_ready_seconds);
            if min_ready > 0 && !pod_state::is_ready(old) && pod_state::is_ready(new) {
                let pause = u64::from(min_ready.unsigned_abs()).saturating_add(1);
                self.queue.add_after(key, Duration::from_secs(pause));
            }
        } else if controller_of(new).is_none()
            && (old.metadata.labels != new.metadata.labels || controller_of(old).is_some())
        {
            self.queue_possible_owners(new);
        }
    }

    fn pod_gone(&self, pod: &Pod) {
        if let Some(owner) = controller_object(pod, &self.owners) {
            let key = ObjectKey::of(&*owner);
            self.expectations.deleted(&key, pod.metadata.uid.as_deref().unwrap_or_default());
            self.queue.add(key);
        }
    }

    fn queue_possible_owners(&self, pod: &Pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for owner in self.owners.in_namespace(namespace) {
            if Target::of(&*owner).is_some_and(|target| target.selector.matches(pod.metadata.labels.as_ref())) {
                self.queue.add(ObjectKey::of(&*owner));
            }
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(owner) = self.owners.get(key) else {
            self.expectations.forget(key);
            return Ok(());
        };
        let Some(target) = Target::of(&*owner) else { return Ok(()) };
        let fulfilled = self.expectations.fulfilled(key);
        let pods = self.claim_pods(&*owner, &target).await?;
        let outcome = if fulfilled && !target.deleting { self.manage(&*owner, &target, &pods).await } else { Ok(()) };
        let status = plan::status(&target, &pods, now(), outcome.as_ref().err());
        if status != target.status || target.observed_generation_is_old() {
            let updated = O::with_status(&owner, status.clone());
            self.cluster
                .api::<O>(&key.namespace)
                .replace_status(&key.name, &crate::cluster::written(), &updated)
                .await?;
        }
        if let Some(at) = plan::next_available(&target, &pods, now()) {
            self.queue.add_after(key.clone(), at);
        }
        outcome.map_err(SyncError::from)
    }

    /// The active pods of the owner, after adopting and releasing.
    async fn claim_pods(&self, owner: &O, target: &Target) -> Result<Vec<Arc<Pod>>, SyncError> {
        let mut candidates = self.cluster.informers.pods.claimable_by(owner.meta());
        candidates.retain(|pod| pod_state::is_active(pod));
        settle(&self.cluster, claim(candidates, owner.meta(), &target.selector), owner).await
    }

    async fn manage(&self, owner: &O, target: &Target, pods: &[Arc<Pod>]) -> Result<(), plan::Failure> {
        match decide(target, pods, || self.related_pods(owner), now()) {
            Plan::Nothing => Ok(()),
            Plan::Create(count) => self
                .pods
                .create_many(owner, &target.key, count, |_| Ok(target.new_pod(owner)))
                .await
                .map_err(plan::Failure::Create),
            Plan::Delete(victims) => {
                self.pods.delete_many(owner, &target.key, &victims).await.map_err(plan::Failure::Delete)
            }
        }
    }

    /// Active pods of all owners that share this owner's own controller: they tell how crowded nodes are.
    fn related_pods(&self, owner: &O) -> Vec<Arc<Pod>> {
        let Some(above) = controller_of(owner) else { return Vec::new() };
        self.owners
            .owned_by(&above.uid)
            .iter()
            .filter_map(|sibling| sibling.meta().uid.clone())
            .flat_map(|uid| self.cluster.informers.pods.owned_by(&uid))
            .filter(|pod| pod_state::is_active(pod))
            .collect()
    }
}
