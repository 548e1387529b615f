//! Quotas: what a namespace uses of what it may use. From pods, claims, services and counts; through [`usage`] (pure) to
//! status.
//!
//! Admission raises the numbers when objects come; this lowers them when they go.

use crate::cluster::{Cluster, now, written};
use crate::object_key::ObjectKey;
use crate::pod_state;
use crate::resource_list::Resources;
use crate::sync::SyncError;
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use usage::{Usage, counted_kind};

pub mod usage;

const NAME: &str = "resourcequota-controller";
/// All numbers are worked out anew after this long.
const RESYNC: Duration = Duration::from_secs(5 * 60);

/// The controller.
pub struct QuotaController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
}

impl QuotaController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), queue: Arc::clone(&queue) });
        let informers = &cluster.informers;
        let to = Arc::clone(&queue);
        informers.quotas.on_change(move |change| {
            let Some(quota) = change.new else { return };
            let hard = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|spec| spec.hard.clone());
            if change.old.is_none_or(|old| hard(old) != hard(quota)) {
                to.add(ObjectKey::of(&**quota));
            }
        });
        let this = Arc::clone(&controller);
        informers.pods.on_change(move |change| {
            let Some(pod) = change.latest() else { return };
            let ended = change.new.is_some_and(|pod| pod_state::is_finished(pod));
            let had_ended = change.old.is_some_and(|pod| pod_state::is_finished(pod));
            if change.new.is_none() || (ended && !had_ended) {
                this.queue_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
            }
        });
        let this = Arc::clone(&controller);
        informers.claims.on_change(move |change| {
            if let (Some(claim), None) = (change.old, change.new) {
                this.queue_namespace(claim.metadata.namespace.as_deref().unwrap_or_default());
            }
        });
        let this = Arc::clone(&controller);
        cluster.removals.on_removal(move |namespace| this.queue_namespace(namespace));
        let this = Arc::clone(&controller);
        informers.services.on_change(move |change| {
            if let (Some(service), Some(_)) = (change.old, change.new) {
                this.queue_namespace(service.metadata.namespace.as_deref().unwrap_or_default());
            }
        });
        tasks.spawn_workers(NAME, 2, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    fn queue_namespace(&self, namespace: &str) {
        for quota in self.cluster.informers.quotas.in_namespace(namespace) {
            self.queue.add(ObjectKey::of(&*quota));
        }
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(quota) = self.cluster.informers.quotas.get(key) else { return Ok(()) };
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let mut used = self.usage(&quota, &hard).of(&hard);
        for (name, count) in self.counts(&key.namespace, hard.keys()).await? {
            used.insert(name, ApiQuantity(count.to_string()));
        }
        let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
        if quota.status.as_ref() != Some(&status) {
            let updated = ResourceQuota { status: Some(status), ..(*quota).clone() };
            let api = self.cluster.api::<ResourceQuota>(&key.namespace);
            api.replace_status(&key.name, &written(), &updated).await?;
        }
        self.queue.add_after(key.clone(), RESYNC);
        Ok(())
    }

    fn usage(&self, quota: &ResourceQuota, hard: &BTreeMap<String, ApiQuantity>) -> Usage {
        let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
        let informers = &self.cluster.informers;
        let mut usage = Usage::default();
        for pod in informers.pods.in_namespace(namespace).iter().filter(|pod| usage::in_scope(quota, pod)) {
            usage.add_pod(pod, &now());
        }
        for claim in informers.claims.in_namespace(namespace) {
            usage.add_claim(&claim);
        }
        for service in informers.services.in_namespace(namespace) {
            usage.add_service(&service);
        }
        tracing::trace!(namespace, limits = hard.len(), "quota usage summed");
        usage
    }

    /// Numbers of objects of the kinds that the limits count and that are not watched here.
    async fn counts(
        &self,
        namespace: &str,
        limits: impl Iterator<Item = &String>,
    ) -> Result<Vec<(String, usize)>, SyncError> {
        let wanted: Vec<(&String, String)> =
            limits.filter_map(|name| Some((name, counted_kind(name)?.to_owned()))).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let resources = Resources::discover(&self.cluster.client).await?;
        let mut counts = Vec::new();
        for (limit, kind) in wanted {
            let (plural, group) = kind.split_once('.').unwrap_or((&kind, ""));
            let found = resources
                .all
                .iter()
                .find(|resource| resource.namespaced && resource.api.plural == plural && resource.api.group == group);
            let count = match found {
                Some(resource) => {
                    let api: Api<DynamicObject> =
                        Api::namespaced_with(self.cluster.client.clone(), namespace, &resource.api);
                    api.list_metadata(&ListParams::default()).await?.items.len()
                }
                None => 0,
            };
            counts.push((limit.clone(), count));
        }
        Ok(counts)
    }
}
