//! The ReplicaSets of a Deployment as numbers, and its limits. From the API's objects; to the plan. Pure.

use crate::owners::controller_of;
use crate::template_hash::same_template;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;

/// A ReplicaSet during planning.
#[derive(Clone, Debug)]
pub struct Set {
    /// The object, as cached.
    pub object: Arc<ReplicaSet>,
    /// Wanted replicas; the plan changes them.
    pub replicas: i32,
}

impl Set {
    /// From the object.
    pub fn new(object: Arc<ReplicaSet>) -> Self {
        let replicas = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        Self { object, replicas }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Pods that exist.
    pub fn actual(&self) -> i32 {
        self.object.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// Pods that are ready.
    pub fn ready(&self) -> i32 {
        self.object.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    /// Pods that are available.
    pub fn available(&self) -> i32 {
        self.object.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    /// When it was made.
    pub fn created(&self) -> Option<&Time> {
        self.object.metadata.creation_timestamp.as_ref()
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// Wanted replicas of the deployment.
pub fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Whether old pods end before new ones start.
pub fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// Pods allowed above and below the wanted number during a rolling update: (surge, unavailable).
///
/// Percentages are of the wanted number, surge rounded up and unavailable down; were both 0 nothing could move, so one
/// pod may then be unavailable.
pub fn limits(deployment: &Deployment) -> (i32, i32) {
    if is_recreate(deployment) {
        return (0, 0);
    }
    let wanted = replicas(deployment);
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let quarter = IntOrString::String("25%".to_owned());
    let limit = |value: Option<&IntOrString>, up| scaled(value.unwrap_or(&quarter), wanted, up);
    let surge = limit(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
    let unavailable = limit(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// Pods that may be unavailable, never more than wanted.
pub fn max_unavailable(deployment: &Deployment) -> i32 {
    let wanted = replicas(deployment);
    if is_recreate(deployment) || wanted == 0 { 0 } else { limits(deployment).1.min(wanted) }
}

/// A number, or a percentage of `total`.
pub fn scaled(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    let percent = match value {
        IntOrString::Int(number) => return *number,
        IntOrString::String(text) => text.trim_end_matches('%').parse::<i64>().unwrap_or(0),
    };
    let product = percent.saturating_mul(i64::from(total));
    let quotient = if round_up { product.saturating_add(99) / 100 } else { product / 100 };
    i32::try_from(quotient).unwrap_or(i32::MAX)
}

/// The set whose template is the deployment's; of several the oldest.
pub fn find_new(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
    let template = &deployment.spec.as_ref()?.template;
    let mut matching: Vec<&Arc<ReplicaSet>> = sets
        .iter()
        .filter(|set| {
            let other = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            other.is_some_and(|other| same_template(other, template))
        })
        .collect();
    matching.sort_by(|a, b| by_age(a, b));
    matching.first().map(|set| Arc::clone(set))
}

/// Older first, then by name.
pub fn by_age(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    let key = |set: &ReplicaSet| (set.metadata.creation_timestamp.clone(), set.metadata.name.clone());
    key(a).cmp(&key(b))
}

/// Whether `set` is what the deployment would create: its own, with the same template.
pub fn is_same_set(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let owned = controller_of(set).is_some_and(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref());
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    owned && template.zip(wanted).is_some_and(|(a, b)| same_template(a, b))
}
