//! What pods request and nodes have, as columns of numbers. From pods and nodes; to the fit and balance plugins. Pure.

use crate::quantity;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::{BTreeMap, HashMap};

/// Index of a resource in [`ResourceNames`].
pub type ResourceId = usize;

/// Millicores.
pub const CPU: ResourceId = 0;
/// Bytes.
pub const MEMORY: ResourceId = 1;
/// Bytes.
pub const EPHEMERAL_STORAGE: ResourceId = 2;

/// What a container without requests counts for in scores: 0.1 cores, 200 MiB.
const DEFAULT_CPU_MILLICORES: i64 = 100;
const DEFAULT_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// Numbers for the names of resources.
#[derive(Clone, Debug)]
pub struct ResourceNames {
    names: Vec<String>,
    ids: HashMap<String, ResourceId>,
}

impl Default for ResourceNames {
    fn default() -> Self {
        let mut names = Self { names: Vec::new(), ids: HashMap::new() };
        for name in ["cpu", "memory", "ephemeral-storage"] {
            names.id(name);
        }
        names
    }
}

impl ResourceNames {
    /// The number of a resource; a new one for a new name.
    pub fn id(&mut self, name: &str) -> ResourceId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len();
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The name of a resource.
    pub fn name(&self, id: ResourceId) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }

    /// Number of known resources.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: cpu and memory are always known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Amounts of several resources: millicores, bytes or pieces; without zeros, ordered by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(pub Vec<(ResourceId, i64)>);

impl Amounts {
    /// Amounts of a list of the API.
    pub fn of(list: &BTreeMap<String, Quantity>, names: &mut ResourceNames) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in list {
            let parsed = if name == "cpu" { quantity::milli(&quantity.0) } else { quantity::units(&quantity.0) };
            amounts.add(names.id(name), parsed.unwrap_or(0));
        }
        amounts
    }

    /// The amount of one resource.
    pub fn get(&self, id: ResourceId) -> i64 {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok().and_then(|at| self.0.get(at)).map_or(0, |(_, n)| *n)
    }

    /// Adds to the amount of one resource.
    pub fn add(&mut self, id: ResourceId, amount: i64) {
        self.change(id, |old| old.saturating_add(amount));
    }

    fn change(&mut self, id: ResourceId, new: impl FnOnce(i64) -> i64) {
        match self.0.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => {
                let amount = new(self.get(id));
                if amount == 0 {
                    self.0.remove(at);
                } else if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = amount;
                }
            }
            Err(at) => {
                let amount = new(0);
                if amount != 0 {
                    self.0.insert(at, (id, amount));
                }
            }
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (id, amount) in &other.0 {
            self.add(*id, *amount);
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (id, amount) in &other.0 {
            self.change(*id, |old| old.max(*amount));
        }
    }
}

/// What a pod takes from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRequests {
    /// What it requests.
    pub exact: Amounts,
    /// Millicores and bytes with defaults for containers without requests: what scores count.
    pub scored: [i64; 2],
}

impl PodRequests {
    /// Sums containers, sidecars and the largest init container, plus overhead; requests of the pod itself come first.
    pub fn of(pod: &Pod, names: &mut ResourceNames) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let mut exact = total(&spec.containers, spec.init_containers.as_deref().unwrap_or_default(), |container| {
            requests_of(container, names)
        });
        let mut scored = total(&spec.containers, spec.init_containers.as_deref().unwrap_or_default(), |container| {
            let mut amounts = requests_of(container, names);
            amounts.change(CPU, |cpu| if cpu == 0 { DEFAULT_CPU_MILLICORES } else { cpu });
            amounts.change(MEMORY, |memory| if memory == 0 { DEFAULT_MEMORY_BYTES } else { memory });
            amounts
        });
        if let Some(of_pod) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
            for (id, amount) in Amounts::of(of_pod, names).0 {
                exact.change(id, |_| amount);
                scored.change(id, |_| amount);
            }
        }
        if let Some(overhead) = &spec.overhead {
            let overhead = Amounts::of(overhead, names);
            exact.add_all(&overhead);
            scored.add_all(&overhead);
        }
        let scored = [scored.get(CPU), scored.get(MEMORY)];
        Self { exact, scored }
    }
}

fn requests_of(container: &Container, names: &mut ResourceNames) -> Amounts {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.map(|requests| Amounts::of(requests, names)).unwrap_or_default()
}

fn total(containers: &[Container], init: &[Container], mut requests: impl FnMut(&Container) -> Amounts) -> Amounts {
    let mut sum = Amounts::default();
    for container in containers {
        sum.add_all(&requests(container));
    }
    // Init containers run one after the other, beside the sidecars started before them.
    let (mut sidecars, mut peak) = (Amounts::default(), Amounts::default());
    for container in init {
        let mut running = requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add_all(&running);
            running = sidecars.clone();
        } else {
            running.add_all(&sidecars);
        }
        peak.raise_to(&running);
    }
    sum.add_all(&sidecars);
    sum.raise_to(&peak);
    sum
}

/// Per resource, the amounts of all nodes side by side.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    columns: Vec<Vec<i64>>,
}

impl Columns {
    /// The amount of one resource at one row.
    pub fn get(&self, id: ResourceId, row: usize) -> i64 {
        self.columns.get(id).and_then(|column| column.get(row)).copied().unwrap_or(0)
    }

    /// All rows of one resource.
    pub fn column(&self, id: ResourceId) -> &[i64] {
        self.columns.get(id).map_or(&[], Vec::as_slice)
    }

    /// Changes the amount of one resource at one row.
    pub fn change(&mut self, id: ResourceId, row: usize, by: i64) {
        while self.columns.len() <= id {
            self.columns.push(Vec::new());
        }
        if let Some(column) = self.columns.get_mut(id) {
            if column.len() <= row {
                column.resize(row + 1, 0);
            }
            if let Some(amount) = column.get_mut(row) {
                *amount = amount.saturating_add(by);
            }
        }
    }

    /// Empties a row.
    pub fn clear(&mut self, row: usize) {
        for column in &mut self.columns {
            if let Some(amount) = column.get_mut(row) {
                *amount = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
