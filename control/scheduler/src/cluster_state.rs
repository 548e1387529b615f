//! Nodes and the pods on them, kept up to date by small steps. From watch events and bindings; to scheduling cycles.
//!
//! Numbers lie in columns (one vector per resource, a row per node): a cycle reads a few columns, not whole nodes. Pods
//! of one template are one *class*; rules about other pods read counts per class and node. Pure.

use crate::pod_info::{HostPort, PodClass, PodInfo};
use crate::resources::{Columns, ResourceNames};
use crate::selectors::Labels;
use k8s_openapi::api::core::v1::{Node, Taint};
use std::collections::HashMap;
use std::sync::Arc;

mod topology;
pub use topology::{NO_VALUE, Topology};

/// Row of a node.
pub type NodeIndex = usize;
/// Number of a class of pods.
pub type ClassId = usize;

/// Everything that placement depends on.
#[derive(Debug, Default)]
pub struct ClusterState {
    pub names: ResourceNames,
    /// What pods may use, per node.
    pub allocatable: Columns,
    /// What pods request, per node.
    pub requested: Columns,
    /// Millicores and bytes that scores count, per node.
    pub scored: Columns,
    nodes: Vec<NodeRow>,
    rows: HashMap<String, NodeIndex>,
    free: Vec<NodeIndex>,
    /// Rows in use, in order of appearance.
    order: Vec<NodeIndex>,
    pods: HashMap<String, Placed>,
    classes: Vec<ClassRow>,
    class_ids: HashMap<Arc<PodClass>, ClassId>,
    topologies: HashMap<String, Topology>,
    /// Labels per namespace.
    pub namespaces: HashMap<String, Labels>,
    /// Images: bytes and number of nodes that have them.
    pub images: HashMap<String, (i64, usize)>,
    /// Selectors of Services per namespace, for default spreading of pods without owner.
    pub services: HashMap<String, HashMap<String, Labels>>,
    /// Pods that wait for room that preemption makes on a node.
    pub nominated: HashMap<NodeIndex, Vec<Arc<PodInfo>>>,
}

/// What is not a number about a node.
#[derive(Debug, Default)]
pub struct NodeRow {
    pub name: String,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allowed_pods: i64,
    pub ports: Vec<HostPort>,
    pub pods: Vec<Arc<PodInfo>>,
    pub images: Vec<String>,
    /// False while only pods are known to be here.
    pub exists: bool,
}

/// Where a pod is.
#[derive(Clone, Debug)]
pub struct Placed {
    pub info: Arc<PodInfo>,
    pub node: NodeIndex,
    /// Not confirmed by the API server yet.
    pub assumed: bool,
    class: ClassId,
}

/// A class and how many of its pods are where.
#[derive(Debug)]
pub struct ClassRow {
    pub class: Arc<PodClass>,
    pub counts: HashMap<NodeIndex, i64>,
}

impl ClusterState {
    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.order.len()
    }

    /// The nodes in order of appearance.
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// A node.
    pub fn node(&self, index: NodeIndex) -> Option<&NodeRow> {
        self.nodes.get(index)
    }

    /// The row of a node that exists.
    pub fn row(&self, name: &str) -> Option<NodeIndex> {
        self.rows.get(name).copied().filter(|index| self.nodes.get(*index).is_some_and(|node| node.exists))
    }

    /// All classes that have pods somewhere.
    pub fn classes(&self) -> impl Iterator<Item = &ClassRow> {
        self.classes.iter().filter(|row| !row.counts.is_empty())
    }

    /// A pod that is on a node.
    pub fn pod(&self, uid: &str) -> Option<&Placed> {
        self.pods.get(uid)
    }

    /// The places that a node label makes; kept up to date from the first use on.
    pub fn topology(&self, key: &str) -> Option<&Topology> {
        self.topologies.get(key)
    }

    /// Makes [`ClusterState::topology`] know a label.
    pub fn use_topology(&mut self, key: &str) {
        if self.topologies.contains_key(key) {
            return;
        }
        let mut topology = Topology::default();
        for index in &self.order {
            let value = self.nodes.get(*index).and_then(|node| node.labels.get(key));
            topology.set(*index, value.map(String::as_str));
        }
        self.topologies.insert(key.to_owned(), topology);
    }

    /// Takes in a new or changed node.
    pub fn set_node(&mut self, node: &Node) -> NodeIndex {
        let name = node.metadata.name.clone().unwrap_or_default();
        let index = self.row_for(&name);
        let is_new = self.nodes.get(index).is_some_and(|row| !row.exists);
        if is_new {
            self.order.push(index);
        }
        self.forget_node_facts(index);
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.clone()).unwrap_or_default();
        let mut allowed_pods = 0;
        for (resource, quantity) in &allocatable {
            let amount = match resource.as_str() {
                "cpu" => crate::quantity::milli(&quantity.0),
                _ => crate::quantity::units(&quantity.0),
            }
            .unwrap_or(0);
            if resource == "pods" {
                allowed_pods = amount;
            } else {
                let id = self.names.id(resource);
                self.allocatable.change(id, index, amount);
            }
        }
        let images = status.and_then(|status| status.images.clone()).unwrap_or_default();
        let mut image_names = Vec::new();
        for image in images {
            for name in image.names.into_iter().flatten() {
                let entry = self.images.entry(name.clone()).or_insert((0, 0));
                entry.0 = image.size_bytes.unwrap_or(0);
                entry.1 += 1;
                image_names.push(name);
            }
        }
        let labels = node.metadata.labels.clone().unwrap_or_default();
        for (key, topology) in &mut self.topologies {
            topology.set(index, labels.get(key).map(String::as_str));
        }
        if let Some(row) = self.nodes.get_mut(index) {
            row.labels = labels;
            row.taints = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
            row.unschedulable = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
            row.allowed_pods = allowed_pods;
            row.images = image_names;
            row.exists = true;
        }
        index
    }

    /// Takes out a node; pods on it stay known until they go themselves.
    pub fn remove_node(&mut self, name: &str) {
        let Some(index) = self.rows.get(name).copied() else { return };
        self.forget_node_facts(index);
        self.order.retain(|other| *other != index);
        for topology in self.topologies.values_mut() {
            topology.set(index, None);
        }
        self.nominated.remove(&index);
        if let Some(row) = self.nodes.get_mut(index) {
            row.exists = false;
            row.labels = Labels::new();
        }
        self.free_if_empty(index);
    }

    fn forget_node_facts(&mut self, index: NodeIndex) {
        self.allocatable.clear(index);
        let Some(row) = self.nodes.get_mut(index) else { return };
        for image in row.images.drain(..) {
            if let Some(entry) = self.images.get_mut(&image) {
                entry.1 = entry.1.saturating_sub(1);
                if entry.1 == 0 {
                    self.images.remove(&image);
                }
            }
        }
    }

    fn row_for(&mut self, name: &str) -> NodeIndex {
        if let Some(index) = self.rows.get(name) {
            return *index;
        }
        let row = NodeRow { name: name.to_owned(), ..NodeRow::default() };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.nodes.get_mut(index) {
                    *slot = row;
                }
                index
            }
            None => {
                self.nodes.push(row);
                self.nodes.len() - 1
            }
        };
        self.rows.insert(name.to_owned(), index);
        index
    }

    fn free_if_empty(&mut self, index: NodeIndex) {
        let Some(row) = self.nodes.get(index) else { return };
        if !row.exists && row.pods.is_empty() {
            self.rows.remove(&row.name);
            self.requested.clear(index);
            self.scored.clear(index);
            self.free.push(index);
        }
    }

    /// Puts a pod on a node; `assumed` until the API server confirms it.
    pub fn place(&mut self, info: Arc<PodInfo>, node: &str, assumed: bool) {
        self.take(&info.uid.clone());
        let index = self.row_for(node);
        let class = self.class_id(&info.class);
        self.count(&info, index, class, 1);
        if let Some(row) = self.nodes.get_mut(index) {
            row.ports.extend(info.host_ports.iter().cloned());
            row.pods.push(Arc::clone(&info));
        }
        self.pods.insert(info.uid.clone(), Placed { info, node: index, assumed, class });
    }

    /// Takes a pod off its node.
    pub fn take(&mut self, uid: &str) -> Option<Placed> {
        let placed = self.pods.remove(uid)?;
        self.count(&placed.info, placed.node, placed.class, -1);
        if let Some(row) = self.nodes.get_mut(placed.node) {
            row.pods.retain(|pod| pod.uid != uid);
            for port in &placed.info.host_ports {
                if let Some(at) = row.ports.iter().position(|other| other == port) {
                    row.ports.swap_remove(at);
                }
            }
        }
        self.free_if_empty(placed.node);
        Some(placed)
    }

    fn count(&mut self, info: &PodInfo, index: NodeIndex, class: ClassId, sign: i64) {
        for (id, amount) in &info.requests.exact.0 {
            self.requested.change(*id, index, sign * amount);
        }
        for (id, amount) in info.requests.scored.iter().enumerate() {
            self.scored.change(id, index, sign * amount);
        }
        if let Some(row) = self.classes.get_mut(class) {
            let count = row.counts.entry(index).or_insert(0);
            *count += sign;
            if *count == 0 {
                row.counts.remove(&index);
            }
        }
    }

    fn class_id(&mut self, class: &Arc<PodClass>) -> ClassId {
        if let Some(id) = self.class_ids.get(class) {
            return *id;
        }
        // Slots of classes without pods are used again.
        let unused = (self.classes.len() > 64 && self.class_ids.len() >= self.classes.len())
            .then(|| self.classes.iter().position(|row| row.counts.is_empty()))
            .flatten();
        let row = ClassRow { class: Arc::clone(class), counts: HashMap::new() };
        let id = match unused {
            Some(id) => {
                if let Some(slot) = self.classes.get_mut(id) {
                    self.class_ids.remove(&slot.class);
                    *slot = row;
                }
                id
            }
            None => {
                self.classes.push(row);
                self.classes.len() - 1
            }
        };
        self.class_ids.insert(Arc::clone(class), id);
        id
    }
}

#[cfg(test)]
mod tests;
