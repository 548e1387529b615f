//! `InterPodAffinity`: pods that want to be, or must not be, in one place with other pods. From classes of pods; to the
//! cycle. Pure.

use crate::cluster_state::{ClassRow, ClusterState, NO_VALUE, NodeIndex, Topology};
use crate::framework::{Cycle, MAX_SCORE, Rejection};
use crate::pending_pod::PendingPod;
use crate::pod_info::{PodClass, PodTerm};
use crate::selectors::Labels;

pub const NAME: &str = "InterPodAffinity";

/// What a required affinity term of another pod adds to the score of its place.
const HARD_AFFINITY_WEIGHT: i64 = 1;

/// Counts per place for the pod's own terms, and places that other pods' terms close.
pub struct Prepared<'a> {
    affinity: Vec<Counts<'a>>,
    anti: Vec<Counts<'a>>,
    existing_anti: Vec<Counts<'a>>,
    /// Whether the pod meets its own affinity terms: the first of a group may go anywhere.
    meets_itself: bool,
}

/// Pods per value of a node label; `None` when no node has the label.
struct Counts<'a> {
    key: &'a str,
    topology: Option<&'a Topology>,
    counts: Vec<i64>,
}

impl<'a> Counts<'a> {
    fn new(state: &'a ClusterState, key: &'a str) -> Self {
        let topology = state.topology(key);
        Self { key, topology, counts: vec![0; topology.map_or(0, Topology::len)] }
    }

    fn add(&mut self, row: &ClassRow, weight: i64) {
        let Some(topology) = self.topology else { return };
        for (index, count) in &row.counts {
            if let Some(sum) = self.counts.get_mut(topology.value(*index)) {
                *sum += count * weight;
            }
        }
    }

    fn has_label(&self, index: NodeIndex) -> bool {
        self.topology.is_some_and(|topology| topology.value(index) != NO_VALUE)
    }

    fn at(&self, index: NodeIndex) -> i64 {
        let value = self.topology.map_or(NO_VALUE, |topology| topology.value(index));
        self.counts.get(value).copied().unwrap_or(0)
    }
}

fn matches(state: &ClusterState, term: &PodTerm, class: &PodClass) -> bool {
    term.matches(&class.namespace, namespace_labels(state, class), &class.labels)
}

fn namespace_labels<'a>(state: &'a ClusterState, class: &PodClass) -> Option<&'a Labels> {
    state.namespaces.get(&class.namespace)
}

impl<'a> Prepared<'a> {
    /// Counts for the filter.
    pub fn new(state: &'a ClusterState, pod: &'a PendingPod) -> Self {
        let mine = &pod.info.class;
        let counts = |terms: &'a [PodTerm]| terms.iter().map(|term| Counts::new(state, &term.topology_key)).collect();
        let mut prepared = Self {
            affinity: counts(&mine.terms.required),
            anti: counts(&mine.terms.required_anti),
            existing_anti: Vec::new(),
            meets_itself: mine.terms.required.iter().all(|term| matches(state, term, mine)),
        };
        for row in state.classes() {
            if !mine.terms.required.is_empty()
                && mine.terms.required.iter().all(|term| matches(state, term, &row.class))
            {
                for counts in &mut prepared.affinity {
                    counts.add(row, 1);
                }
            }
            for (term, counts) in mine.terms.required_anti.iter().zip(&mut prepared.anti) {
                if matches(state, term, &row.class) {
                    counts.add(row, 1);
                }
            }
            for term in &row.class.terms.required_anti {
                if matches(state, term, mine) {
                    add_to(&mut prepared.existing_anti, state, &term.topology_key, row, 1);
                }
            }
        }
        prepared
    }
}

fn add_to<'a>(all: &mut Vec<Counts<'a>>, state: &'a ClusterState, key: &'a str, row: &ClassRow, weight: i64) {
    if let Some(counts) = all.iter_mut().find(|counts| counts.key == key) {
        counts.add(row, weight);
        return;
    }
    let mut counts = Counts::new(state, key);
    counts.add(row, weight);
    all.push(counts);
}

/// Whether the pod's or other pods' terms can refuse a node.
pub fn applies(cycle: &Cycle<'_>) -> bool {
    let prepared = &cycle.affinity;
    !(prepared.affinity.is_empty() && prepared.anti.is_empty() && prepared.existing_anti.is_empty())
}

/// Refuses nodes in places with the wrong company.
pub fn filter(cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), Rejection> {
    let prepared = &cycle.affinity;
    let all_labels = prepared.affinity.iter().all(|counts| counts.has_label(index));
    let met = all_labels && prepared.affinity.iter().all(|counts| counts.at(index) > 0);
    if !prepared.affinity.is_empty() && !met {
        let nobody = prepared.affinity.iter().all(|counts| counts.counts.iter().all(|count| *count == 0));
        if !(nobody && prepared.meets_itself && all_labels) {
            return Err(Rejection::for_good("node(s) didn't match pod affinity rules"));
        }
    }
    if prepared.anti.iter().any(|counts| counts.at(index) > 0) {
        return Err(Rejection::for_now("node(s) didn't match pod anti-affinity rules"));
    }
    if prepared.existing_anti.iter().any(|counts| counts.at(index) > 0) {
        return Err(Rejection::for_now("node(s) didn't satisfy existing pods anti-affinity rules"));
    }
    Ok(())
}

/// Prefers places with wanted company and without unwanted.
pub fn score(cycle: &Cycle<'_>, nodes: &[NodeIndex], scores: &mut [i64]) -> bool {
    let state = cycle.state;
    let mine = &cycle.pod.info.class;
    let mut places: Vec<Counts<'_>> = Vec::new();
    for row in state.classes() {
        let signed = [(&mine.terms.preferred, 1), (&mine.terms.preferred_anti, -1)];
        for (terms, sign) in signed {
            for term in terms.iter().filter(|term| matches(state, term, &row.class)) {
                add_to(&mut places, state, &term.topology_key, row, sign * i64::from(term.weight));
            }
        }
        let theirs = &row.class.terms;
        if theirs.is_empty() {
            continue;
        }
        for term in theirs.required.iter().filter(|term| matches(state, term, mine)) {
            add_to(&mut places, state, &term.topology_key, row, HARD_AFFINITY_WEIGHT);
        }
        for (terms, sign) in [(&theirs.preferred, 1), (&theirs.preferred_anti, -1)] {
            for term in terms.iter().filter(|term| matches(state, term, mine)) {
                add_to(&mut places, state, &term.topology_key, row, sign * i64::from(term.weight));
            }
        }
    }
    if places.is_empty() {
        return false;
    }
    for (index, score) in nodes.iter().zip(scores.iter_mut()) {
        *score = places.iter().map(|counts| counts.at(*index)).sum();
    }
    let (min, max) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
    for score in scores.iter_mut() {
        *score = if max > min { (*score - min) * MAX_SCORE / (max - min) } else { 0 };
    }
    true
}
