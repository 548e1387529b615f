//! Decides the next step of a StatefulSet: fill gaps in order, shrink from the end, then update from the end. From
//! [`super`]; to it. Pure.

use super::identity::{missing_labels, ordinal, revision};
use crate::pod_state;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A set and its pods.
#[derive(Debug)]
pub struct View<'a> {
    pub set: &'a StatefulSet,
    pub pods: &'a [Arc<Pod>],
    /// Name of the revision that is being left.
    pub current: String,
    /// Name of the revision of the current template.
    pub update: String,
    pub collisions: i32,
    pub now: Timestamp,
}

/// One thing to do.
#[derive(Debug)]
pub enum Operation {
    Create {
        ordinal: i32,
        revision: String,
    },
    Delete(Arc<Pod>),
    /// Give a pod the labels of its identity.
    Identify {
        pod: Arc<Pod>,
        patch: Value,
    },
}

/// What to do now.
#[derive(Debug)]
pub struct Plan {
    pub operations: Vec<Operation>,
    pub status: StatefulSetStatus,
    /// Seconds after which a pod may have become available.
    pub look_again: Option<u64>,
}

struct Planning<'a> {
    view: &'a View<'a>,
    min_ready: i32,
    in_order: bool,
    plan: Plan,
}

/// The next step, and the status after it.
pub fn plan(view: &View<'_>) -> Plan {
    let spec = view.set.spec.clone().unwrap_or_default();
    let replicas = spec.replicas.unwrap_or(1);
    let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    let name = view.set.metadata.name.as_deref().unwrap_or_default();
    let (mut wanted, mut surplus) = (BTreeMap::new(), BTreeMap::new());
    for pod in view.pods {
        let Some(ordinal) = ordinal(name, pod) else { continue };
        let place = if ordinal >= first && ordinal - first < replicas { &mut wanted } else { &mut surplus };
        place.insert(ordinal, Arc::clone(pod));
    }
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let mut planning = Planning {
        view,
        min_ready,
        in_order: spec.pod_management_policy.as_deref() != Some("Parallel"),
        plan: Plan { operations: Vec::new(), status: count(view, min_ready), look_again: None },
    };
    if view.set.metadata.deletion_timestamp.is_none() {
        let strategy = spec.update_strategy.unwrap_or_default();
        let rolling = strategy.rolling_update.as_ref();
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
        let by_hand = strategy.type_.as_deref() == Some("OnDelete");
        let settled =
            planning.fill(first, replicas, partition, rolling.is_some(), &wanted) && planning.shrink(&wanted, &surplus);
        if settled && !by_hand {
            planning.update(first, replicas, partition, &wanted);
        }
        planning.complete(replicas, by_hand);
    }
    planning.plan
}

/// The status before anything is done.
fn count(view: &View<'_>, min_ready: i32) -> StatefulSetStatus {
    let before = view.set.status.clone().unwrap_or_default();
    let mut status = StatefulSetStatus {
        observed_generation: view.set.metadata.generation,
        current_revision: Some(view.current.clone()),
        update_revision: Some(view.update.clone()),
        collision_count: Some(view.collisions),
        conditions: before.conditions,
        ..StatefulSetStatus::default()
    };
    let (mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0);
    for pod in view.pods {
        status.replicas += 1;
        ready += i32::from(is_running_and_ready(pod));
        available += i32::from(is_running_and_ready(pod) && pod_state::is_available(pod, min_ready, view.now));
        if !pod_state::is_terminating(pod) {
            current += i32::from(revision(pod) == Some(&view.current));
            updated += i32::from(revision(pod) == Some(&view.update));
        }
    }
    let some = |count: i32| (count > 0).then_some(count);
    status.ready_replicas = some(ready);
    status.available_replicas = Some(available);
    status.current_replicas = some(current);
    status.updated_replicas = some(updated);
    status
}

fn is_running_and_ready(pod: &Pod) -> bool {
    pod_state::phase(pod) == "Running" && pod_state::is_ready(pod)
}

fn is_healthy(pod: &Pod) -> bool {
    is_running_and_ready(pod) && !pod_state::is_terminating(pod)
}

impl Planning<'_> {
    /// Makes missing pods, in order one after the other; true when all are there and well enough to go on.
    fn fill(
        &mut self,
        first: i32,
        replicas: i32,
        partition: i32,
        partitioned: bool,
        wanted: &BTreeMap<i32, Arc<Pod>>,
    ) -> bool {
        let current_count = self.view.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0);
        for ordinal in first..first.saturating_add(replicas) {
            let Some(pod) = wanted.get(&ordinal) else {
                let old = if partitioned { ordinal < first + partition } else { ordinal < first + current_count };
                self.create(ordinal, old);
                if self.in_order {
                    return false;
                }
                continue;
            };
            if pod_state::is_finished(pod) {
                if !pod_state::is_terminating(pod) {
                    self.plan.operations.push(Operation::Delete(Arc::clone(pod)));
                }
                return false;
            }
            if !pod_state::is_terminating(pod)
                && let Some(patch) = missing_labels(pod, ordinal)
            {
                self.plan.operations.push(Operation::Identify { pod: Arc::clone(pod), patch });
            }
            if self.in_order && !self.is_available(pod) {
                return false;
            }
        }
        true
    }

    fn create(&mut self, ordinal: i32, old: bool) {
        let status = &mut self.plan.status;
        let revision = if old { self.view.current.clone() } else { self.view.update.clone() };
        status.replicas += 1;
        if revision == self.view.current {
            status.current_replicas = Some(status.current_replicas.unwrap_or(0) + 1);
        }
        if revision == self.view.update {
            status.updated_replicas = Some(status.updated_replicas.unwrap_or(0) + 1);
        }
        self.plan.operations.push(Operation::Create { ordinal, revision });
    }

    fn is_available(&mut self, pod: &Pod) -> bool {
        if !is_healthy(pod) {
            return false;
        }
        let Some(at) = pod_state::available_at(pod, self.min_ready) else { return false };
        if at <= self.view.now {
            return true;
        }
        let seconds = at.as_second().saturating_sub(self.view.now.as_second());
        self.plan.look_again = u64::try_from(seconds).ok().map(|seconds| seconds + 1);
        false
    }

    /// Ends pods beyond the wanted number, from the end; true when there are none.
    fn shrink(&mut self, wanted: &BTreeMap<i32, Arc<Pod>>, surplus: &BTreeMap<i32, Arc<Pod>>) -> bool {
        let unhealthy =
            |pods: &BTreeMap<i32, Arc<Pod>>| pods.iter().find(|(_, pod)| !is_healthy(pod)).map(|(ordinal, _)| *ordinal);
        let first_unhealthy = unhealthy(wanted).or_else(|| unhealthy(surplus));
        for (ordinal, pod) in surplus.iter().rev() {
            if pod_state::is_terminating(pod) {
                if self.in_order {
                    return false;
                }
                continue;
            }
            if self.in_order && !is_running_and_ready(pod) && first_unhealthy != Some(*ordinal) {
                return false;
            }
            self.delete(pod);
            if self.in_order {
                return false;
            }
        }
        surplus.is_empty()
    }

    fn delete(&mut self, pod: &Arc<Pod>) {
        let status = &mut self.plan.status;
        let less = |count: Option<i32>| count.map(|count| count - 1).filter(|count| *count > 0);
        if revision(pod) == Some(&self.view.current) {
            status.current_replicas = less(status.current_replicas);
        }
        if revision(pod) == Some(&self.view.update) {
            status.updated_replicas = less(status.updated_replicas);
        }
        self.plan.operations.push(Operation::Delete(Arc::clone(pod)));
    }

    /// Replaces pods of other revisions from the end, one after the other.
    fn update(&mut self, first: i32, replicas: i32, partition: i32, wanted: &BTreeMap<i32, Arc<Pod>>) {
        let last = first.saturating_add(replicas);
        for pod in ((first + partition)..last).rev().filter_map(|ordinal| wanted.get(&ordinal)) {
            if revision(pod) != Some(&self.view.update) && !pod_state::is_terminating(pod) {
                self.delete(pod);
                return;
            }
            if !is_healthy(pod) {
                return;
            }
        }
    }

    /// When all pods have the new revision, it is the current one.
    fn complete(&mut self, replicas: i32, by_hand: bool) {
        let status = &mut self.plan.status;
        let all = |count: Option<i32>| count.unwrap_or(0) == replicas;
        if !by_hand && all(status.updated_replicas) && all(status.ready_replicas) && status.replicas == replicas {
            status.current_replicas = status.updated_replicas;
            status.current_revision = status.update_revision.clone();
        }
    }
}

#[cfg(test)]
mod tests;
