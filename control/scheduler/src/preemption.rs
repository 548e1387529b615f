//! `DefaultPreemption`: finds pods of lower priority whose end would make room. From a failed cycle; to the executor that
//! ends them. Leaves the state as it was. Pure.

use crate::cluster_state::{ClusterState, NodeIndex};
use crate::cycle::check;
use crate::framework::{Cycle, Diagnosis, FILTERS, Filter};
use crate::pending_pod::PendingPod;
use crate::pod_info::PodInfo;
use crate::selectors::Selector;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::sync::Arc;

/// Nodes that are tried at most, if a tenth of all is less.
const MIN_CANDIDATES: usize = 100;

/// How many pods of a group may still be disrupted (`PodDisruptionBudget`).
#[derive(Clone, Debug)]
pub struct Budget {
    pub namespace: String,
    pub selector: Selector,
    pub allowed: i32,
}

/// A node and the pods that must go from it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub node: NodeIndex,
    pub victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

/// The node on which it costs least to make room for `pod`.
///
/// # Errors
/// Why none helps, in the words of the condition's message.
pub fn find(
    state: &mut ClusterState,
    pod: &PendingPod,
    failed: &Diagnosis,
    budgets: &[Budget],
) -> Result<Candidate, String> {
    if pod.never_preempts {
        return Err("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    if is_room_being_made(state, pod) {
        return Err("not eligible due to a terminating pod on the nominated node.".to_owned());
    }
    let mut words = Diagnosis { nodes: failed.nodes, ..Diagnosis::default() };
    let hopeless = failed.nodes.saturating_sub(failed.resolvable.len());
    words.add_text_times("Preemption is not helpful for scheduling".to_owned(), hopeless);
    let enough = MIN_CANDIDATES.max(failed.nodes / 10);
    let mut candidates = Vec::new();
    for index in &failed.resolvable {
        match victims(state, pod, *index, budgets) {
            Ok(candidate) => candidates.push(candidate),
            Err(texts) => texts.into_iter().for_each(|text| words.add_text(text)),
        }
        if candidates.len() >= enough {
            break;
        }
    }
    candidates.into_iter().min_by_key(cost).ok_or_else(|| words.message(&state.names))
}

/// Whether pods are going from the node on which room was made before.
fn is_room_being_made(state: &ClusterState, pod: &PendingPod) -> bool {
    let node = pod.nominated.as_ref().and_then(|name| state.row(name)).and_then(|index| state.node(index));
    node.is_some_and(|node| node.pods.iter().any(|other| other.class.terminating && other.priority < pod.info.priority))
}

/// What choosing a candidate costs; less is better.
fn cost(candidate: &Candidate) -> (usize, i32, i64, usize, Reverse<Option<Timestamp>>) {
    let priorities = || candidate.victims.iter().map(|victim| victim.priority);
    let highest = priorities().max().unwrap_or(i32::MIN);
    // Shifted so that a further victim always costs more, also one with a negative priority.
    let sum = priorities().map(|priority| i64::from(priority) - i64::from(i32::MIN)).sum();
    let first_start =
        candidate.victims.iter().filter(|victim| victim.priority == highest).filter_map(|v| v.started).min();
    (candidate.violations, highest, sum, candidate.victims.len(), Reverse(first_start))
}

/// The pods that must go from one node.
fn victims(
    state: &mut ClusterState,
    pod: &PendingPod,
    index: NodeIndex,
    budgets: &[Budget],
) -> Result<Candidate, Vec<String>> {
    let Some(node) = state.node(index) else { return Err(Vec::new()) };
    let name = node.name.clone();
    let lower: Vec<Arc<PodInfo>> =
        node.pods.iter().filter(|other| other.priority < pod.info.priority).cloned().collect();
    if lower.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".to_owned()]);
    }
    let assumed: Vec<bool> =
        lower.iter().map(|other| state.pod(&other.uid).is_some_and(|placed| placed.assumed)).collect();
    for other in &lower {
        state.take(&other.uid);
    }
    let outcome = match fits(state, pod, index) {
        Err(texts) => Err(texts),
        Ok(()) => Ok(spare(state, pod, index, &name, &lower, budgets)),
    };
    for (other, assumed) in lower.iter().zip(assumed) {
        state.place(Arc::clone(other), &name, assumed);
    }
    outcome
}

/// Puts back as many pods as possible, those that matter most first; the rest are the victims.
fn spare(
    state: &mut ClusterState,
    pod: &PendingPod,
    index: NodeIndex,
    name: &str,
    lower: &[Arc<PodInfo>],
    budgets: &[Budget],
) -> Candidate {
    let mut by_worth = lower.to_vec();
    by_worth.sort_by_key(|other| (Reverse(other.priority), other.started.unwrap_or(Timestamp::MAX)));
    let mut left: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    let (mut protected, mut others) = (Vec::new(), Vec::new());
    for other in by_worth {
        let mut violates = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            if budget.namespace == other.namespace && budget.selector.matches(&other.class.labels) {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        if violates { protected.push(other) } else { others.push(other) }
    }
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (other, is_protected) in protected.into_iter().map(|p| (p, true)).chain(others.into_iter().map(|o| (o, false)))
    {
        state.place(Arc::clone(&other), name, false);
        if fits(state, pod, index).is_err() {
            state.take(&other.uid);
            violations += usize::from(is_protected);
            victims.push(other);
        }
    }
    victims.sort_by_key(|victim| Reverse(victim.priority));
    Candidate { node: index, victims, violations }
}

fn fits(state: &ClusterState, pod: &PendingPod, index: NodeIndex) -> Result<(), Vec<String>> {
    let cycle = Cycle::new(state, pod);
    let filters: Vec<&Filter> = FILTERS.iter().filter(|filter| (filter.applies)(&cycle)).collect();
    check(&filters, &cycle, index).map_err(|(_, rejection)| rejection.texts(&state.names))
}

#[cfg(test)]
mod tests;
