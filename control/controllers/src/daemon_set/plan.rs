//! Decides where a DaemonSet needs pods and which must go, and its status. From [`super`]; to it. Pure.

use super::pods::{revision_hash, target_node, tolerations};
use crate::deployment::sets::scaled;
use crate::node_fit::{Fit, fit};
use crate::pod_state;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A set, its pods and all nodes.
#[derive(Debug)]
pub struct View<'a> {
    pub set: &'a DaemonSet,
    pub pods: &'a [Arc<Pod>],
    pub nodes: &'a [Arc<Node>],
    /// Hash of the current revision.
    pub hash: &'a str,
    pub now: Timestamp,
}

/// What to do now.
#[derive(Debug, Default)]
pub struct Plan {
    /// Nodes that need a pod.
    pub create: Vec<String>,
    /// Pods that must go.
    pub delete: Vec<Arc<Pod>>,
    pub status: DaemonSetStatus,
    /// Seconds after which a pod may have become available.
    pub look_again: Option<u64>,
}

struct OnNode<'a> {
    fit: Fit,
    pods: Vec<&'a Arc<Pod>>,
}

/// The next step, and the status before it.
pub fn plan(view: &View<'_>) -> Plan {
    let Some(spec) = &view.set.spec else { return Plan::default() };
    let pod_spec = spec.template.spec.clone().unwrap_or_default();
    let tolerations = tolerations(&pod_spec);
    let mut nodes: BTreeMap<&str, OnNode<'_>> = view
        .nodes
        .iter()
        .map(|node| {
            let on_node = OnNode { fit: fit(&pod_spec, &tolerations, node), pods: Vec::new() };
            (node.metadata.name.as_deref().unwrap_or_default(), on_node)
        })
        .collect();
    let mut plan = Plan::default();
    for pod in view.pods {
        match target_node(pod).and_then(|name| nodes.get_mut(name)) {
            Some(on_node) => on_node.pods.push(pod),
            // For a node that is gone: it would wait for ever.
            None if pod_state::node_name(pod).is_none() && !pod_state::is_terminating(pod) => {
                plan.delete.push(Arc::clone(pod));
            }
            None => {}
        }
    }
    for on_node in nodes.values_mut() {
        on_node.pods.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone()));
    }
    let limits = Limits::of(view.set, nodes.values().filter(|on_node| on_node.fit.starts).count());
    for (name, on_node) in &nodes {
        manage_node(view, name, on_node, limits.surge, &mut plan);
    }
    if limits.rolling {
        replace_old(view, &nodes, &limits, &mut plan);
    }
    plan.status = status(view, &nodes, &mut plan.look_again);
    plan
}

/// What a rolling update may do.
struct Limits {
    rolling: bool,
    surge: i32,
    unavailable: i32,
}

impl Limits {
    fn of(set: &DaemonSet, desired: usize) -> Self {
        let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        let rolling = strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
        let settings = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let desired = i32::try_from(desired).unwrap_or(i32::MAX);
        let limit = |value: Option<_>, default| value.map_or(default, |value| scaled(value, desired, true));
        Self {
            rolling,
            surge: limit(settings.and_then(|settings| settings.max_surge.as_ref()), 0),
            unavailable: limit(settings.and_then(|settings| settings.max_unavailable.as_ref()), 1),
        }
    }
}

fn manage_node(view: &View<'_>, name: &str, on_node: &OnNode<'_>, surge: i32, plan: &mut Plan) {
    if !on_node.fit.stays {
        let going = on_node.pods.iter().filter(|pod| !pod_state::is_terminating(pod));
        plan.delete.extend(going.map(|pod| Arc::clone(pod)));
        return;
    }
    let mut kept: Vec<&Arc<Pod>> = Vec::new();
    let mut ending = false;
    for pod in &on_node.pods {
        if pod_state::is_terminating(pod) {
            ending = true;
        } else if pod_state::is_finished(pod) {
            ending = true;
            plan.delete.push(Arc::clone(pod));
        } else {
            kept.push(pod);
        }
    }
    if kept.is_empty() {
        // A pod that is ending holds ports and files; its successor starts after it.
        if on_node.fit.starts && !ending {
            plan.create.push(name.to_owned());
        }
        return;
    }
    let is_new = |pod: &&&Arc<Pod>| revision_hash(pod) == Some(view.hash);
    if surge == 0 {
        plan.delete.extend(kept.iter().skip(1).map(|pod| Arc::clone(pod)));
        return;
    }
    // While surging one old and one new pod may be there.
    for of_kind in [true, false] {
        let same: Vec<_> = kept.iter().filter(|pod| is_new(pod) == of_kind).collect();
        plan.delete.extend(same.into_iter().skip(1).map(|pod| Arc::clone(pod)));
    }
}

/// Replaces pods of old revisions as far as availability allows.
fn replace_old(view: &View<'_>, nodes: &BTreeMap<&str, OnNode<'_>>, limits: &Limits, plan: &mut Plan) {
    let min_ready = view.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let available = |pod: &Pod| pod_state::is_available(pod, min_ready, view.now) && !pod_state::is_terminating(pod);
    let mut surging = 0;
    let mut unavailable = 0;
    let (mut free, mut costly) = (Vec::new(), Vec::new());
    for (name, on_node) in nodes.iter().filter(|(_, on_node)| on_node.fit.starts) {
        let alive = || on_node.pods.iter().filter(|pod| pod_state::is_active(pod));
        let new = alive().find(|pod| revision_hash(pod) == Some(view.hash));
        let old = alive().find(|pod| revision_hash(pod) != Some(view.hash));
        if !alive().any(|pod| available(pod)) {
            unavailable += 1;
        }
        match (old, new) {
            (Some(old), Some(new)) => {
                surging += 1;
                if available(new) || !available(old) {
                    free.push(Arc::clone(old));
                }
            }
            (Some(old), None) if !available(old) => {
                if limits.surge > 0 {
                    plan.create.push((*name).to_owned())
                } else {
                    free.push(Arc::clone(old))
                }
            }
            (Some(old), None) => costly.push(((*name).to_owned(), Arc::clone(old))),
            (None, _) => {}
        }
    }
    plan.delete.extend(free);
    if limits.surge > 0 {
        let room = usize::try_from(limits.surge - surging).unwrap_or(0);
        plan.create.extend(costly.into_iter().take(room).map(|(node, _)| node));
    } else {
        let room = usize::try_from(limits.unavailable - unavailable).unwrap_or(0);
        plan.delete.extend(costly.into_iter().take(room).map(|(_, pod)| pod));
    }
    plan.create.sort();
    plan.create.dedup();
    plan.delete.sort_by(|a, b| a.metadata.uid.cmp(&b.metadata.uid));
    plan.delete.dedup_by(|a, b| a.metadata.uid == b.metadata.uid);
}

fn status(view: &View<'_>, nodes: &BTreeMap<&str, OnNode<'_>>, look_again: &mut Option<u64>) -> DaemonSetStatus {
    let min_ready = view.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let mut status =
        DaemonSetStatus { observed_generation: view.set.metadata.generation, ..DaemonSetStatus::default() };
    let (mut available, mut updated) = (0, 0);
    for on_node in nodes.values() {
        let scheduled = !on_node.pods.is_empty();
        if !on_node.fit.starts {
            status.number_misscheduled += i32::from(scheduled);
            continue;
        }
        status.desired_number_scheduled += 1;
        if !scheduled {
            continue;
        }
        status.current_number_scheduled += 1;
        let ready = on_node.pods.iter().find(|pod| pod_state::is_ready(pod) && !pod_state::is_terminating(pod));
        let pod = ready.or_else(|| on_node.pods.first());
        let Some(pod) = pod else { continue };
        if pod_state::is_ready(pod) {
            status.number_ready += 1;
            if pod_state::is_available(pod, min_ready, view.now) {
                available += 1;
            } else if let Some(at) = pod_state::available_at(pod, min_ready) {
                let seconds = u64::try_from(at.as_second() - view.now.as_second()).unwrap_or(0) + 1;
                *look_again = Some(look_again.map_or(seconds, |other| other.min(seconds)));
            }
        }
        updated += i32::from(on_node.pods.iter().any(|pod| revision_hash(pod) == Some(view.hash)));
    }
    let some = |count: i32| (count > 0).then_some(count);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status.updated_number_scheduled = some(updated);
    status
}

#[cfg(test)]
mod tests;
