//! Finds the best node for one pod: filter until enough nodes fit, score those, take the best. From the queue's next pod
//! and [`crate::cluster_state`]; to binding. Pure (chance comes as a number).

use crate::cluster_state::{ClusterState, NodeIndex};
use crate::framework::{Cycle, Diagnosis, FILTERS, Filter, MAX_SCORE, Rejection, SCORES};
use crate::pending_pod::PendingPod;

/// With fewer nodes than this all are looked at.
const MIN_FEASIBLE: usize = 100;

/// Reused between cycles, so that a cycle allocates little.
#[derive(Debug, Default)]
pub struct Finder {
    /// Where the next search begins: all nodes get their turn.
    start: usize,
    feasible: Vec<NodeIndex>,
    scores: Vec<i64>,
    totals: Vec<i64>,
    chance: u64,
}

impl Finder {
    /// Makes topologies known that the pod's rules need. Before [`Finder::find`].
    pub fn prepare(state: &mut ClusterState, pod: &PendingPod) {
        let terms = &pod.info.class.terms;
        let all = [&terms.required, &terms.preferred, &terms.required_anti, &terms.preferred_anti];
        for term in all.into_iter().flatten() {
            state.use_topology(&term.topology_key);
        }
        for rule in pod.hard_spread.iter().chain(&pod.soft_spread) {
            state.use_topology(&rule.key);
        }
    }

    /// The best node.
    ///
    /// # Errors
    /// Why no node will do.
    pub fn find(&mut self, state: &ClusterState, pod: &PendingPod) -> Result<NodeIndex, Box<Diagnosis>> {
        let mut diagnosis = Box::new(Diagnosis { nodes: state.node_count(), ..Diagnosis::default() });
        if diagnosis.nodes == 0 {
            return Err(diagnosis);
        }
        let cycle = Cycle::new(state, pod);
        let filters: Vec<&Filter> = FILTERS.iter().filter(|filter| (filter.applies)(&cycle)).collect();
        self.feasible.clear();
        // Room was made on this node: take it if it does.
        if let Some(nominated) = pod.nominated.as_ref().and_then(|name| state.row(name))
            && check(&filters, &cycle, nominated).is_ok()
        {
            return Ok(nominated);
        }
        if let Some(names) = pod.only_nodes() {
            let rows: Vec<NodeIndex> = names.iter().filter_map(|name| state.row(name)).collect();
            let others = diagnosis.nodes.saturating_sub(rows.len());
            diagnosis.add_text_times("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned(), others);
            if others > 0 {
                diagnosis.plugins.push(crate::plugins::node_affinity::NAME);
            }
            for index in rows {
                self.consider(&filters, &cycle, index, &mut diagnosis);
            }
        } else {
            self.search(&filters, &cycle, &mut diagnosis);
        }
        match self.feasible.as_slice() {
            [] => Err(diagnosis),
            [only] => Ok(*only),
            _ => Ok(self.best(&cycle)),
        }
    }

    fn search(&mut self, filters: &[&Filter], cycle: &Cycle<'_>, diagnosis: &mut Diagnosis) {
        let order = cycle.state.order();
        let wanted = enough(order.len());
        let start = self.start % order.len();
        let mut looked_at = 0;
        let (before, from) = order.split_at(start);
        for index in from.iter().chain(before) {
            looked_at += 1;
            self.consider(filters, cycle, *index, diagnosis);
            if self.feasible.len() >= wanted {
                break;
            }
        }
        self.start = (start + looked_at) % order.len();
    }

    fn consider(&mut self, filters: &[&Filter], cycle: &Cycle<'_>, index: NodeIndex, diagnosis: &mut Diagnosis) {
        match check(filters, cycle, index) {
            Ok(()) => self.feasible.push(index),
            Err((plugin, rejection)) => diagnosis.add(plugin, rejection, index),
        }
    }

    fn best(&mut self, cycle: &Cycle<'_>) -> NodeIndex {
        self.totals.clear();
        self.totals.resize(self.feasible.len(), 0);
        for plugin in &SCORES {
            self.scores.clear();
            self.scores.resize(self.feasible.len(), 0);
            if (plugin.score)(cycle, &self.feasible, &mut self.scores) {
                for (total, score) in self.totals.iter_mut().zip(&self.scores) {
                    *total += plugin.weight * (*score).min(MAX_SCORE);
                }
            }
        }
        let best = self.totals.iter().copied().max().unwrap_or(0);
        let ties =
            || self.totals.iter().zip(&self.feasible).filter(|(total, _)| **total == best).map(|(_, node)| *node);
        let count = ties().count().max(1);
        // xorshift: ties are broken evenly.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let pick = usize::try_from(self.chance % u64::try_from(count).unwrap_or(1)).unwrap_or(0);
        ties().nth(pick).unwrap_or(0)
    }

    /// A finder whose ties are broken by `chance`.
    pub fn new(chance: u64) -> Self {
        Self { chance: chance.max(1), ..Self::default() }
    }
}

/// Asks the filters in order.
///
/// # Errors
/// The first refusal and its plugin.
pub fn check(filters: &[&Filter], cycle: &Cycle<'_>, index: NodeIndex) -> Result<(), (&'static str, Rejection)> {
    for filter in filters {
        (filter.check)(cycle, index).map_err(|rejection| (filter.name, rejection))?;
    }
    Ok(())
}

/// How many nodes that fit are enough to choose from: large clusters need not look at all nodes for every pod.
fn enough(nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE {
        return nodes;
    }
    let percentage = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percentage / 100).max(MIN_FEASIBLE)
}

#[cfg(test)]
mod tests;
