//! The places that the values of one node label make. From [`super`]; to spread and affinity plugins. Pure.

use super::NodeIndex;
use std::collections::HashMap;

/// The value number of a node without the label.
pub const NO_VALUE: usize = usize::MAX;

/// Numbers for the values of one label, and the value of each node.
#[derive(Debug, Default)]
pub struct Topology {
    ids: HashMap<String, usize>,
    /// Nodes per value.
    nodes: Vec<usize>,
    of_node: Vec<usize>,
}

impl Topology {
    /// Number of values ever seen.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node has the label.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The value of a node, or [`NO_VALUE`].
    pub fn value(&self, index: NodeIndex) -> usize {
        self.of_node.get(index).copied().unwrap_or(NO_VALUE)
    }

    pub(super) fn set(&mut self, index: NodeIndex, value: Option<&str>) {
        let new = match value {
            None => NO_VALUE,
            Some(value) => match self.ids.get(value) {
                Some(id) => *id,
                None => {
                    let id = self.nodes.len();
                    self.nodes.push(0);
                    self.ids.insert(value.to_owned(), id);
                    id
                }
            },
        };
        if self.of_node.len() <= index {
            self.of_node.resize(index + 1, NO_VALUE);
        }
        let Some(slot) = self.of_node.get_mut(index) else { return };
        let old = std::mem::replace(slot, new);
        if let Some(count) = self.nodes.get_mut(old) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.nodes.get_mut(new) {
            *count += 1;
        }
    }
}
