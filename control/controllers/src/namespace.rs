//! Deleted namespaces: deletes all they contain, pods first, then lets them go. From namespaces and the API server's
//! kinds; through [`report`] (pure) to conditions and finalizers.

use crate::cluster::{Cluster, now, written};
use crate::object_key::ObjectKey;
use crate::resource_list::{Resource, Resources};
use crate::sync::{SyncError, ignore_missing, is_code, message_of};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use report::{Report, finalizers_left};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub mod report;

const NAME: &str = "namespace-controller";
/// First and longest pause before looking again at what is left.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The controller.
pub struct NamespaceController {
    cluster: Arc<Cluster>,
    queue: Arc<WorkQueue<ObjectKey>>,
    /// Rounds per namespace that is going.
    rounds: Mutex<HashMap<String, u32>>,
}

impl NamespaceController {
    /// Registers handlers and starts workers.
    pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let to = Arc::clone(&queue);
        cluster.informers.namespaces.on_change(move |change| {
            if let Some(namespace) = change.new.filter(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
                to.add(ObjectKey::of(&**namespace));
            }
        });
        // The last pod's end lets the rest be deleted at once.
        let (to, of) = (Arc::clone(&queue), Arc::clone(cluster));
        cluster.informers.pods.on_change(move |change| {
            let (Some(pod), None) = (change.old, change.new) else { return };
            let namespace = ObjectKey::cluster(pod.metadata.namespace.clone().unwrap_or_default());
            if of.informers.namespaces.get(&namespace).is_some_and(|ns| ns.metadata.deletion_timestamp.is_some()) {
                to.add(namespace);
            }
        });
        let controller = Arc::new(Self {
            cluster: Arc::clone(cluster),
            queue: Arc::clone(&queue),
            rounds: Mutex::new(HashMap::new()),
        });
        tasks.spawn_workers(NAME, 4, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { Box::pin(this.sync(&key)).await }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let Some(namespace) = self.cluster.informers.namespaces.get(key) else {
            self.rounds.lock().remove(&key.name);
            return Ok(());
        };
        let finalizers = namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten());
        if namespace.metadata.deletion_timestamp.is_none() || !finalizers.into_iter().any(|name| name == "kubernetes") {
            return Ok(());
        }
        let report = self.delete_content(&key.name).await;
        let namespace = self.write_report(&namespace, &report).await?;
        if report.is_empty() {
            self.finalize(&namespace).await?;
            self.rounds.lock().remove(&key.name);
        } else {
            let rounds = {
                let mut all = self.rounds.lock();
                let rounds = all.entry(key.name.clone()).or_insert(0);
                *rounds = rounds.saturating_add(1);
                *rounds
            };
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(rounds.min(16))).min(LAST_PAUSE);
            self.queue.add_after(key.clone(), pause);
        }
        Ok(())
    }

    async fn delete_content(&self, namespace: &str) -> Report {
        let mut report = Report::default();
        let resources = match Resources::discover(&self.cluster.client).await {
            Ok(resources) => resources,
            Err(error) => {
                report.undiscovered.push(message_of(&error));
                return report;
            }
        };
        report.undiscovered = resources.stale.iter().map(|group| format!("unable to retrieve {group}")).collect();
        let deletable = |resource: &&Resource| resource.namespaced && resource.can(&["delete"]);
        let is_pods = |resource: &&Resource| resource.api.group.is_empty() && resource.api.plural == "pods";
        // Pods first: what they use must not go away under them.
        for resource in resources.all.iter().filter(deletable).filter(is_pods) {
            self.delete_kind(namespace, resource, &mut report).await;
        }
        if report.is_empty() {
            for resource in resources.all.iter().filter(deletable).filter(|resource| !is_pods(resource)) {
                self.delete_kind(namespace, resource, &mut report).await;
            }
        }
        report
    }

    async fn delete_kind(&self, namespace: &str, resource: &Resource, report: &mut Report) {
        if let Err(error) = self.delete_all(namespace, resource, report).await {
            // A kind whose definition went away meanwhile has no objects.
            if !is_code(&error, 404) {
                report.failures.push(format!("{}: {}", resource.name(), message_of(&error)));
            }
        }
    }

    async fn delete_all(&self, namespace: &str, resource: &Resource, report: &mut Report) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client.clone(), namespace, &resource.api);
        let params = DeleteParams::background();
        if !resource.can(&["list"]) {
            if resource.can(&["deletecollection"]) {
                drop(api.delete_collection(&params, &ListParams::default()).await?);
            }
            return Ok(());
        }
        // Mostly there is nothing of a kind: look before deleting.
        let mut left = api.list_metadata(&ListParams::default()).await?.items;
        if left.is_empty() {
            return Ok(());
        }
        if resource.can(&["deletecollection"]) {
            drop(api.delete_collection(&params, &ListParams::default()).await?);
        } else {
            for object in &left {
                ignore_missing(api.delete(&object.name_any(), &params).await)?;
            }
        }
        left = api.list_metadata(&ListParams::default()).await?.items;
        if !left.is_empty() {
            report.remaining.push((resource.name(), left.len()));
            for finalizer in left.iter().flat_map(|object| object.metadata.finalizers.iter().flatten()) {
                *report.finalizers.entry(finalizer.clone()).or_insert(0) += 1;
            }
        }
        Ok(())
    }

    async fn write_report(&self, namespace: &Arc<Namespace>, report: &Report) -> Result<Arc<Namespace>, SyncError> {
        let status = report.status(namespace, &now());
        if namespace.status.as_ref() == Some(&status) {
            return Ok(Arc::clone(namespace));
        }
        let name = namespace.name_any();
        let updated = Namespace { status: Some(status), ..(**namespace).clone() };
        let api = self.cluster.cluster_api::<Namespace>();
        Ok(Arc::new(api.replace_status(&name, &written(), &updated).await?))
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<(), SyncError> {
        let left = finalizers_left(namespace);
        let name = namespace.name_any();
        let mut finalized = namespace.clone();
        finalized.spec.get_or_insert_default().finalizers = Some(left);
        let api = self.cluster.cluster_api::<Namespace>();
        ignore_missing(api.replace_subresource("finalize", &name, &written(), &finalized).await)?;
        Ok(())
    }
}
