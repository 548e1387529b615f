//! `PodTopologySpread`: pods that count together spread over places. From classes of pods; to the cycle. Pure.

use super::taint_toleration::repels;
use crate::cluster_state::{ClassRow, ClusterState, NO_VALUE, NodeIndex, NodeRow, Topology};
use crate::framework::{Cycle, MAX_SCORE, Rejection};
use crate::pending_pod::{Counted, HOSTNAME, PendingPod, SpreadRule};

pub const NAME: &str = "PodTopologySpread";

/// The pod's hard rules with the counts that they look at.
pub struct Prepared<'a> {
    hard: Vec<HardRule<'a>>,
}

struct HardRule<'a> {
    rule: &'a SpreadRule,
    topology: Option<&'a Topology>,
    counts: Vec<i64>,
    /// The smallest count over the places that the pod could be in.
    least: i64,
    /// 1 if the pod itself counts.
    myself: i64,
}

fn counts(rule: &SpreadRule, pod: &PendingPod, row: &ClassRow) -> bool {
    let class = &row.class;
    !class.terminating
        && class.namespace == pod.info.namespace
        && match &rule.counted {
            Counted::Selector(selector) => selector.matches(&class.labels),
            Counted::Owner(uid) => class.owner.as_ref() == Some(uid),
        }
}

/// Whether the pods on a node count, as the rule's policies say.
fn node_counts(rule: &SpreadRule, pod: &PendingPod, node: &NodeRow) -> bool {
    (!rule.honor_affinity || pod.accepts_node(&node.labels, &node.name))
        && (!rule.honor_taints || !repels(&pod.tolerations, &node.taints))
}

impl<'a> Prepared<'a> {
    /// Counts for the filter.
    pub fn new(state: &'a ClusterState, pod: &'a PendingPod) -> Self {
        let topologies: Vec<Option<&Topology>> = pod.hard_spread.iter().map(|rule| state.topology(&rule.key)).collect();
        let has_all_labels = |index: NodeIndex| {
            topologies.iter().all(|topology| topology.is_some_and(|topology| topology.value(index) != NO_VALUE))
        };
        let rules = pod.hard_spread.iter().zip(&topologies);
        let hard = rules
            .map(|(rule, topology)| {
                let size = topology.map_or(0, Topology::len);
                let mut counts_per_place = vec![0_i64; size];
                let mut in_use = vec![false; size];
                for index in state.order() {
                    let Some(node) = state.node(*index) else { continue };
                    let value = topology.map_or(NO_VALUE, |topology| topology.value(*index));
                    if value != NO_VALUE
                        && has_all_labels(*index)
                        && node_counts(rule, pod, node)
                        && let Some(used) = in_use.get_mut(value)
                    {
                        *used = true;
                    }
                }
                for row in state.classes().filter(|row| counts(rule, pod, row)) {
                    for (index, count) in &row.counts {
                        let Some(node) = state.node(*index).filter(|node| node.exists) else { continue };
                        if !has_all_labels(*index) || !node_counts(rule, pod, node) {
                            continue;
                        }
                        let value = topology.map_or(NO_VALUE, |topology| topology.value(*index));
                        if let Some(sum) = counts_per_place.get_mut(value) {
                            *sum += count;
                        }
                    }
                }
                let places =
                    || counts_per_place.iter().zip(&in_use).filter(|(_, used)| **used).map(|(count, _)| *count);
                let few = i64::try_from(places().count()).unwrap_or(i64::MAX) < rule.min_domains;
                let least = if few { 0 } else { places().min().unwrap_or(0) };
                let myself = match &rule.counted {
                    Counted::Selector(selector) => i64::from(selector.matches(&pod.info.class.labels)),
                    Counted::Owner(_) => 1,
                };
                HardRule { rule, topology: *topology, counts: counts_per_place, least, myself }
            })
            .collect();
        Self { hard }
    }
}

/// Whether the pod has hard rules.
pub fn applies(cycle: &Cycle<'_>) -> bool {
    !cycle.spread.hard.is_empty()
}

/// Refuses nodes in places that would have too many more than others.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    for hard in &cycle.spread.hard {
        let value = hard.topology.map_or(NO_VALUE, |topology| topology.value(index));
        if value == NO_VALUE {
            return Err(Rejection::for_good(
                "node(s) didn't match pod topology spread constraints (missing required label)",
            ));
        }
        let here = hard.counts.get(value).copied().unwrap_or(0);
        if here + hard.myself - hard.least > hard.rule.max_skew {
            return Err(Rejection::for_now("node(s) didn't match pod topology spread constraints"));
        }
    }
    Ok(())
}

/// Prefers places with fewer of the pods that count together.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    let (state, pod) = (cycle.state, cycle.pod);
    if pod.soft_spread.is_empty() {
        return false;
    }
    // Rules that the pod has itself need all labels; the default rules are content with those there are.
    let strict = pod.own_spread;
    let topologies: Vec<Option<&Topology>> = pod.soft_spread.iter().map(|rule| state.topology(&rule.key)).collect();
    let value = |topology: &Option<&Topology>, index| topology.map_or(NO_VALUE, |topology| topology.value(index));
    let ignored: Vec<bool> = nodes
        .iter()
        .map(|index| strict && topologies.iter().any(|topology| value(topology, *index) == NO_VALUE))
        .collect();
    scores.fill(0);
    // In thousandths: weights are logarithms.
    for (rule, topology) in pod.soft_spread.iter().zip(&topologies) {
        let rows: Vec<&ClassRow> = state.classes().filter(|row| counts(rule, pod, row)).collect();
        let considered = nodes.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(index, _)| *index);
        let by_host = rule.key == HOSTNAME;
        let mut per_place = vec![0_i64; topology.map_or(0, Topology::len)];
        let places = if by_host {
            considered.count()
        } else {
            let mut seen = vec![false; per_place.len()];
            let mut places = 0;
            for index in considered {
                if let Some(seen) = seen.get_mut(value(topology, index))
                    && !std::mem::replace(seen, true)
                {
                    places += 1;
                }
            }
            for (index, count) in rows.iter().flat_map(|row| &row.counts) {
                let counted = state.node(*index).is_some_and(|node| node_counts(rule, pod, node));
                if let Some(sum) = per_place.get_mut(value(topology, *index)).filter(|_| counted) {
                    *sum += count;
                }
            }
            places
        };
        let weight = log_thousandths(places + 2);
        for (index, score) in nodes.iter().zip(scores.iter_mut()) {
            let place = value(topology, *index);
            if place == NO_VALUE {
                continue;
            }
            let here = if by_host {
                rows.iter().filter_map(|row| row.counts.get(index)).sum()
            } else {
                per_place.get(place).copied().unwrap_or(0)
            };
            *score += here * weight + (rule.max_skew - 1) * 1000;
        }
    }
    for score in scores.iter_mut() {
        *score = (*score + 500) / 1000;
    }
    let kept = || scores.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(score, _)| *score);
    let (min, max) = (kept().min().unwrap_or(0), kept().max().unwrap_or(0));
    for (score, ignored) in scores.iter_mut().zip(&ignored) {
        *score = match (*ignored, max) {
            (true, _) => 0,
            (false, 0) => MAX_SCORE,
            (false, _) => MAX_SCORE * (max + min - *score) / max,
        };
    }
    true
}

/// Natural logarithm in thousandths.
fn log_thousandths(number: usize) -> i64 {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "at most 22181")]
    let log = (f64::from(number).ln() * 1000.0).round() as i64;
    log
}
