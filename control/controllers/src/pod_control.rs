//! Creates and deletes pods for their controllers, with events. From decisions; to the API server.

use crate::cluster::{Cluster, written};
use crate::expectations::Expectations;
use crate::object_key::ObjectKey;
use crate::owners::controller_reference;
use crate::sync::{SyncError, has_reason, is_code, message_of};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{DeleteParams, Preconditions};
use std::sync::Arc;

/// Writes pods on behalf of a controller.
pub struct PodControl {
    cluster: Arc<Cluster>,
    component: &'static str,
    expectations: Arc<Expectations>,
}

impl PodControl {
    /// For the controller that reports events as `component`.
    pub fn new(cluster: Arc<Cluster>, component: &'static str, expectations: Arc<Expectations>) -> Self {
        Self { cluster, component, expectations }
    }

    /// Creates `count` pods in batches of 1, 2, 4, …: a mistake in the template fails once, not a thousand times.
    ///
    /// # Errors
    /// The first failure; the pods of later batches are then not created.
    pub async fn create_many<K, F>(&self, owner: &K, key: &ObjectKey, count: usize, make: F) -> Result<(), SyncError>
    where
        K: Resource<DynamicType = ()>,
        F: Fn(usize) -> Result<Pod, SyncError>,
    {
        self.expectations.expect_creations(key, count);
        let (mut done, mut batch) = (0, 1);
        while done < count {
            let size = batch.min(count - done);
            let pods = (done..done + size).map(&make).collect::<Result<Vec<_>, _>>()?;
            let outcomes = join_all(pods.iter().map(|pod| self.create(owner, &key.namespace, pod))).await;
            let failures: Vec<kube::Error> = outcomes.into_iter().filter_map(Result::err).collect();
            for _ in &failures {
                self.expectations.created(key);
            }
            done += size;
            if let Some(error) = failures.into_iter().next() {
                for _ in done..count {
                    self.expectations.created(key);
                }
                // In a namespace that goes away there is nothing to repeat.
                if has_cause(&error, "NamespaceTerminating") {
                    return Ok(());
                }
                return Err(error.into());
            }
            batch = batch.saturating_mul(2);
        }
        Ok(())
    }

    /// Creates one pod and reports it.
    pub async fn create<K>(&self, owner: &K, namespace: &str, pod: &Pod) -> Result<Pod, kube::Error>
    where
        K: Resource<DynamicType = ()>,
    {
        match self.cluster.api::<Pod>(namespace).create(&written(), pod).await {
            Ok(created) => {
                let name = created.metadata.name.clone().unwrap_or_default();
                let message = format!("Created pod: {name}");
                self.cluster.recorder.normal(self.component, owner, "SuccessfulCreate", message);
                Ok(created)
            }
            Err(error) => {
                if !has_cause(&error, "NamespaceTerminating") {
                    let message = format!("Error creating: {}", message_of(&error));
                    self.cluster.recorder.warning(self.component, owner, "FailedCreate", message);
                }
                Err(error)
            }
        }
    }

    /// Deletes pods, all at once.
    ///
    /// # Errors
    /// All failures; pods that are gone already are no failure.
    pub async fn delete_many<K>(&self, owner: &K, key: &ObjectKey, victims: &[Arc<Pod>]) -> Result<(), SyncError>
    where
        K: Resource<DynamicType = ()>,
    {
        let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        self.expectations.expect_deletions(key, victims.iter().map(|pod| uid(pod)));
        let outcomes = join_all(victims.iter().map(|pod| self.delete(owner, pod))).await;
        let mut errors = Vec::new();
        for (pod, outcome) in victims.iter().zip(outcomes) {
            match outcome {
                Ok(true) => {}
                Ok(false) => self.expectations.deleted(key, &uid(pod)),
                Err(error) => {
                    self.expectations.deleted(key, &uid(pod));
                    errors.push(SyncError::from(error));
                }
            }
        }
        SyncError::all(errors)
    }

    /// Deletes one pod and reports it; false when it was gone.
    pub async fn delete<K>(&self, owner: &K, pod: &Pod) -> Result<bool, kube::Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let outcome = self.delete_quietly(pod).await;
        match &outcome {
            Ok(true) => {
                let message = format!("Deleted pod: {}", pod.metadata.name.as_deref().unwrap_or_default());
                self.cluster.recorder.normal(self.component, owner, "SuccessfulDelete", message);
            }
            Ok(false) => {}
            Err(error) => {
                let message = format!("Error deleting: {}", message_of(error));
                self.cluster.recorder.warning(self.component, owner, "FailedDelete", message);
            }
        }
        outcome
    }

    /// Deletes one pod; false when it was gone.
    pub async fn delete_quietly(&self, pod: &Pod) -> Result<bool, kube::Error> {
        let key = ObjectKey::of(pod);
        let only_this = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
        match self.cluster.api::<Pod>(&key.namespace).delete(&key.name, &params).await {
            Ok(_) => Ok(true),
            Err(error) if is_code(&error, 404) || has_reason(&error, "Conflict") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the API server named this cause.
pub fn has_cause(error: &kube::Error, reason: &str) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == reason)
}

/// A pod of `owner` as its template says.
pub fn pod_from_template<K: Resource<DynamicType = ()>>(owner: &K, template: &PodTemplateSpec) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    let name = owner.meta().name.as_deref().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: owner.meta().namespace.clone(),
            generate_name: Some(format!("{name}-")),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}
