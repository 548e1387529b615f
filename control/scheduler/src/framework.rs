//! How plugins take part in a cycle: filters refuse nodes, scores order them. From [`crate::cycle`]; to the plugins.
//! Pure.

use crate::cluster_state::{ClusterState, NodeIndex};
use crate::pending_pod::PendingPod;
use crate::plugins::{
    image_locality, inter_pod_affinity, node_affinity, node_ports, node_resources_balanced_allocation,
    node_resources_fit, node_unschedulable, pod_topology_spread, taint_toleration,
};
use crate::resources::ResourceNames;
use std::fmt::Write as _;

/// Highest normalised score of a node.
pub const MAX_SCORE: i64 = 100;

/// Why a plugin refuses a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    pub reason: Reason,
    /// Whether the node might do if pods on it went away.
    pub resolvable: bool,
}

/// The words for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Text(&'static str),
    /// A bit per resource of which too little is left; [`TOO_MANY_PODS`] for the number of pods.
    Resources(u64),
}

/// Bit of [`Reason::Resources`] for the number of pods.
pub const TOO_MANY_PODS: u64 = 1 << 63;

impl Rejection {
    /// The node will not do whatever pods go.
    pub fn for_good(text: &'static str) -> Self {
        Self { reason: Reason::Text(text), resolvable: false }
    }

    /// The node might do if pods went.
    pub fn for_now(text: &'static str) -> Self {
        Self { reason: Reason::Text(text), resolvable: true }
    }

    /// The words, several when several resources are short.
    pub fn texts(&self, names: &ResourceNames) -> Vec<String> {
        match self.reason {
            Reason::Text(text) => vec![text.to_owned()],
            Reason::Resources(bits) => {
                let mut texts = Vec::new();
                if bits & TOO_MANY_PODS != 0 {
                    texts.push("Too many pods".to_owned());
                }
                let short = (0..63).filter(|id| bits & (1 << id) != 0);
                texts.extend(short.map(|id| format!("Insufficient {}", names.name(id))));
                texts
            }
        }
    }
}

/// One pod's placement under way: what plugins worked out once, before they look at nodes.
pub struct Cycle<'a> {
    pub state: &'a ClusterState,
    pub pod: &'a PendingPod,
    pub affinity: inter_pod_affinity::Prepared<'a>,
    pub spread: pod_topology_spread::Prepared<'a>,
}

impl<'a> Cycle<'a> {
    /// Prepares all plugins' filters.
    pub fn new(state: &'a ClusterState, pod: &'a PendingPod) -> Self {
        Self {
            state,
            pod,
            affinity: inter_pod_affinity::Prepared::new(state, pod),
            spread: pod_topology_spread::Prepared::new(state, pod),
        }
    }
}

/// A plugin that refuses nodes.
pub struct Filter {
    pub name: &'static str,
    pub check: fn(&Cycle<'_>, NodeIndex) -> Result<(), Rejection>,
    /// Whether it can refuse any node for this pod at all.
    pub applies: fn(&Cycle<'_>) -> bool,
}

/// The filters in the order in which they are asked; the first refusal counts.
pub const FILTERS: [Filter; 7] = [
    Filter { name: node_unschedulable::NAME, check: node_unschedulable::filter, applies: |_| true },
    Filter { name: taint_toleration::NAME, check: taint_toleration::filter, applies: |_| true },
    Filter { name: node_affinity::NAME, check: node_affinity::filter, applies: node_affinity::applies },
    Filter { name: node_ports::NAME, check: node_ports::filter, applies: node_ports::applies },
    Filter { name: node_resources_fit::NAME, check: node_resources_fit::filter, applies: |_| true },
    Filter {
        name: pod_topology_spread::NAME,
        check: pod_topology_spread::filter,
        applies: pod_topology_spread::applies,
    },
    Filter { name: inter_pod_affinity::NAME, check: inter_pod_affinity::filter, applies: inter_pod_affinity::applies },
];

/// A plugin that orders nodes.
pub struct Score {
    pub name: &'static str,
    pub weight: i64,
    /// Writes a score of at most [`MAX_SCORE`] per node; false when it has no opinion.
    pub score: fn(&Cycle<'_>, &[NodeIndex], &mut [i64]) -> bool,
}

/// The scores with upstream's default weights.
pub const SCORES: [Score; 7] = [
    Score { name: taint_toleration::NAME, weight: 3, score: taint_toleration::score },
    Score { name: node_affinity::NAME, weight: 2, score: node_affinity::score },
    Score { name: node_resources_fit::NAME, weight: 1, score: node_resources_fit::score },
    Score { name: pod_topology_spread::NAME, weight: 2, score: pod_topology_spread::score },
    Score { name: inter_pod_affinity::NAME, weight: 2, score: inter_pod_affinity::score },
    Score {
        name: node_resources_balanced_allocation::NAME,
        weight: 1,
        score: node_resources_balanced_allocation::score,
    },
    Score { name: image_locality::NAME, weight: 1, score: image_locality::score },
];

/// Scales scores so that the highest is [`MAX_SCORE`]; `reverse` makes it the lowest.
pub fn normalize(scores: &mut [i64], reverse: bool) {
    let max = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if max == 0 { 0 } else { *score * MAX_SCORE / max };
        *score = if reverse { MAX_SCORE - scaled } else { scaled };
    }
}

/// Why no node was found.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Number of nodes.
    pub nodes: usize,
    /// What was said, and of how many nodes.
    pub rejections: Vec<(Rejection, usize)>,
    /// Names of the plugins that refused nodes.
    pub plugins: Vec<&'static str>,
    /// Nodes that might do if pods on them went.
    pub resolvable: Vec<NodeIndex>,
    /// Something that holds whatever the node.
    pub pod_message: Option<String>,
    /// Further words per number of nodes, from preemption.
    pub texts: Vec<(String, usize)>,
}

impl Diagnosis {
    /// Counts a refusal.
    pub fn add(&mut self, plugin: &'static str, rejection: Rejection, node: NodeIndex) {
        if let Some((_, count)) = self.rejections.iter_mut().find(|(known, _)| *known == rejection) {
            *count += 1;
        } else {
            self.rejections.push((rejection, 1));
        }
        if !self.plugins.contains(&plugin) {
            self.plugins.push(plugin);
        }
        if rejection.resolvable {
            self.resolvable.push(node);
        }
    }

    /// Counts words of a node.
    pub fn add_text(&mut self, text: String) {
        self.add_text_times(text, 1);
    }

    /// Counts words of several nodes.
    pub fn add_text_times(&mut self, text: String, times: usize) {
        if times == 0 {
            return;
        }
        if let Some((_, count)) = self.texts.iter_mut().find(|(known, _)| *known == text) {
            *count += times;
        } else {
            self.texts.push((text, times));
        }
    }

    /// The message of conditions and events: `0/3 nodes are available: 1 …, 2 ….`
    pub fn message(&self, names: &ResourceNames) -> String {
        let mut counts = self.texts.clone();
        for (rejection, count) in &self.rejections {
            for text in rejection.texts(names) {
                if let Some((_, known)) = counts.iter_mut().find(|(known, _)| *known == text) {
                    *known += count;
                } else {
                    counts.push((text, *count));
                }
            }
        }
        let mut lines: Vec<String> = counts.into_iter().map(|(text, count)| format!("{count} {text}")).collect();
        lines.sort();
        let mut message = format!("0/{} nodes are available:", self.nodes);
        let said = match &self.pod_message {
            Some(said) => write!(message, " {said}."),
            None if lines.is_empty() => Ok(()),
            None => write!(message, " {}.", lines.join(", ")),
        };
        if said.is_err() {
            tracing::debug!("writing to a string failed");
        }
        message
    }
}
