//! What ReplicaSet and ReplicationController have in common. From their specs; to [`super::plan`]. Pure.

use crate::informer::Watched;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::pod_control::pod_from_template;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    Pod, PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use kube::Resource;
use serde::Serialize;

/// A kind that keeps a number of equal pods.
pub trait ReplicaOwner: Watched + Resource<Scope = NamespaceResourceScope> + Serialize {
    /// The reporting component of events.
    const COMPONENT: &'static str;
    /// The owner as its controller sees it; `None` when the object is unusable.
    fn target(&self) -> Option<Target>;
    /// The owner with another status.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

/// Spec and status of an owner of replicas.
#[derive(Clone, Debug)]
pub struct Target {
    pub key: ObjectKey,
    pub uid: String,
    pub kind: String,
    pub replicas: i32,
    pub selector: Selector,
    pub template: PodTemplateSpec,
    pub min_ready_seconds: i32,
    pub deleting: bool,
    pub generation: i64,
    pub status: ReplicaSetStatus,
}

impl Target {
    /// The owner as its controller sees it.
    pub fn of<O: ReplicaOwner>(owner: &O) -> Option<Self> {
        owner.target()
    }

    /// Whether the status belongs to an older spec.
    pub fn observed_generation_is_old(&self) -> bool {
        self.status.observed_generation.unwrap_or(0) < self.generation
    }

    /// A new pod of the owner.
    pub fn new_pod<O: ReplicaOwner>(&self, owner: &O) -> Pod {
        pod_from_template(owner, &self.template)
    }

    fn new<K: Resource<DynamicType = ()>>(
        owner: &K,
        replicas: Option<i32>,
        min_ready_seconds: Option<i32>,
        selector: Selector,
        template: PodTemplateSpec,
        status: ReplicaSetStatus,
    ) -> Self {
        let meta = owner.meta();
        Self {
            key: ObjectKey::of(owner),
            uid: meta.uid.clone().unwrap_or_default(),
            kind: K::kind(&()).into_owned(),
            replicas: replicas.unwrap_or(1),
            selector,
            template,
            min_ready_seconds: min_ready_seconds.unwrap_or(0),
            deleting: meta.deletion_timestamp.is_some(),
            generation: meta.generation.unwrap_or(0),
            status,
        }
    }
}

impl ReplicaOwner for ReplicaSet {
    const COMPONENT: &'static str = "replicaset-controller";

    fn target(&self) -> Option<Target> {
        let spec = self.spec.as_ref()?;
        Some(Target::new(
            self,
            spec.replicas,
            spec.min_ready_seconds,
            Selector::of(Some(&spec.selector)),
            spec.template.clone()?,
            self.status.clone().unwrap_or_default(),
        ))
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }
}

impl ReplicaOwner for ReplicationController {
    const COMPONENT: &'static str = "replication-controller";

    fn target(&self) -> Option<Target> {
        let spec = self.spec.as_ref()?;
        let status = self.status.clone().unwrap_or_default();
        Some(Target::new(
            self,
            spec.replicas,
            spec.min_ready_seconds,
            Selector::of_labels(spec.selector.iter().flatten()),
            spec.template.clone()?,
            ReplicaSetStatus {
                available_replicas: status.available_replicas,
                fully_labeled_replicas: status.fully_labeled_replicas,
                observed_generation: status.observed_generation,
                ready_replicas: status.ready_replicas,
                replicas: status.replicas,
                terminating_replicas: None,
                conditions: status.conditions.map(|conditions| {
                    conditions
                        .into_iter()
                        .map(|condition| ReplicaSetCondition {
                            last_transition_time: condition.last_transition_time,
                            message: condition.message,
                            reason: condition.reason,
                            status: condition.status,
                            type_: condition.type_,
                        })
                        .collect()
                }),
            },
        ))
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        let status = ReplicationControllerStatus {
            available_replicas: status.available_replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
            conditions: status.conditions.map(|conditions| {
                conditions
                    .into_iter()
                    .map(|condition| ReplicationControllerCondition {
                        last_transition_time: condition.last_transition_time,
                        message: condition.message,
                        reason: condition.reason,
                        status: condition.status,
                        type_: condition.type_,
                    })
                    .collect()
            }),
        };
        Self { status: Some(status), ..self.clone() }
    }
}
