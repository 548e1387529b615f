//! Who owns whom. From observed metadata; to what must be looked at. Pure.

use crate::resource_list::Resource;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// Finalizer of an owner that waits for its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner that lets its dependents live.
pub const ORPHAN: &str = "orphan";

/// Absent owners that are remembered.
const ABSENT_MEMORY: usize = 500;

/// Where an object is.
#[derive(Clone, Debug)]
pub struct Identity {
    pub resource: Arc<Resource>,
    pub namespace: String,
    pub name: String,
}

/// An owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: String,
    pub api_version: String,
    pub kind: String,
    pub name: String,
    /// Whether the owner's foreground deletion waits for this dependent.
    pub blocks: bool,
}

/// An object as a watch shows it.
#[derive(Clone, Debug)]
pub struct Observed {
    pub uid: String,
    pub id: Identity,
    pub owners: Vec<Owner>,
    pub deleting: bool,
    pub foreground: bool,
    pub orphan: bool,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Todo {
    /// Whether the object must go, or can.
    Check(String),
    /// The object's dependents must become orphans.
    Orphan(String),
}

impl fmt::Display for Todo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(uid) => write!(f, "check {uid}"),
            Self::Orphan(uid) => write!(f, "orphan {uid}"),
        }
    }
}

/// An object and its owners.
#[derive(Clone, Debug)]
pub struct Tie {
    pub uid: String,
    pub id: Identity,
    pub owners: Vec<Owner>,
    pub deleting: bool,
    /// Waits for its dependents to go.
    pub foreground: bool,
    pub has_dependents: bool,
}

/// What the graph knows of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    Solid,
    WaitsForDependents,
    Absent,
    OtherNamespace,
}

/// All objects and their ties.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<String, Observed>,
    /// Owner uid → dependents, also of owners that were never seen.
    dependents: HashMap<String, HashSet<String>>,
    absent: HashSet<String>,
}

impl Graph {
    /// Takes in an object; gives what must be looked at because of it.
    pub fn observe(&mut self, new: Observed) -> Vec<Todo> {
        let uid = new.uid.clone();
        let mut todo = Vec::new();
        let old = self.nodes.remove(&uid);
        let (was_orphaning, was_foreground) =
            old.as_ref().map_or((false, false), |old| (old.deleting && old.orphan, old.deleting && old.foreground));
        for owner in old.iter().flat_map(|old| &old.owners) {
            if !new.owners.iter().any(|other| other.uid == owner.uid) {
                self.untie(&owner.uid, &uid);
            }
            if !new.owners.contains(owner) {
                self.look_at_waiting(&owner.uid, &mut todo);
            }
        }
        let mut doubtful = false;
        for owner in &new.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
            let is_new = !old.as_ref().is_some_and(|old| old.owners.iter().any(|known| known.uid == owner.uid));
            let state = self.owner_state(&owner.uid, &new.id.namespace);
            doubtful |= is_new && state != Some(OwnerState::Solid);
        }
        if doubtful {
            todo.push(Todo::Check(uid.clone()));
        }
        if new.deleting && new.orphan && !was_orphaning {
            todo.push(Todo::Orphan(uid.clone()));
        }
        if new.deleting && new.foreground && !was_foreground {
            todo.extend(self.dependents.get(&uid).into_iter().flatten().cloned().map(Todo::Check));
            todo.push(Todo::Check(uid.clone()));
        }
        self.absent.remove(&uid);
        self.nodes.insert(uid, new);
        todo
    }

    /// The object is gone.
    pub fn remove(&mut self, uid: &str) -> Vec<Todo> {
        let Some(old) = self.nodes.remove(uid) else { return Vec::new() };
        let mut todo = Vec::new();
        for owner in &old.owners {
            self.untie(&owner.uid, uid);
            self.look_at_waiting(&owner.uid, &mut todo);
        }
        self.remember_absent(uid);
        todo.extend(self.dependents.get(uid).into_iter().flatten().cloned().map(Todo::Check));
        todo
    }

    /// The object's kind is no longer watched; whether it exists is not known.
    pub fn lose_sight(&mut self, uid: &str) {
        let Some(old) = self.nodes.remove(uid) else { return };
        for owner in &old.owners {
            self.untie(&owner.uid, uid);
        }
    }

    fn untie(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    fn look_at_waiting(&self, owner: &str, todo: &mut Vec<Todo>) {
        if self.nodes.get(owner).is_some_and(|owner| owner.deleting && owner.foreground) {
            todo.push(Todo::Check(owner.to_owned()));
        }
    }

    /// The API server says that no object has this uid.
    pub fn remember_absent(&mut self, uid: &str) {
        if self.absent.len() >= ABSENT_MEMORY {
            self.absent.clear();
        }
        self.absent.insert(uid.to_owned());
    }

    /// What is known of an owner, for a dependent in `namespace`; `None`: the API server must be asked.
    pub fn owner_state(&self, owner: &str, namespace: &str) -> Option<OwnerState> {
        match self.nodes.get(owner) {
            Some(node) if !node.id.namespace.is_empty() && node.id.namespace != namespace => {
                Some(OwnerState::OtherNamespace)
            }
            Some(node) if node.deleting && node.foreground => Some(OwnerState::WaitsForDependents),
            Some(_) => Some(OwnerState::Solid),
            None if self.absent.contains(owner) => Some(OwnerState::Absent),
            None => None,
        }
    }

    /// An object and its owners.
    pub fn tie(&self, uid: &str) -> Option<Tie> {
        let node = self.nodes.get(uid)?;
        Some(Tie {
            uid: uid.to_owned(),
            id: node.id.clone(),
            owners: node.owners.clone(),
            deleting: node.deleting,
            foreground: node.deleting && node.foreground,
            has_dependents: self.dependents.contains_key(uid),
        })
    }

    /// The objects that name `uid` as owner.
    pub fn dependents(&self, uid: &str) -> Vec<Identity> {
        let dependents = self.dependents.get(uid).into_iter().flatten();
        dependents.filter_map(|dependent| Some(self.nodes.get(dependent)?.id.clone())).collect()
    }

    /// The dependents for which the owner's foreground deletion waits.
    pub fn blocking_dependents(&self, uid: &str) -> Vec<String> {
        let dependents = self.dependents.get(uid).into_iter().flatten();
        dependents
            .filter(|dependent| {
                self.nodes
                    .get(*dependent)
                    .is_some_and(|node| node.owners.iter().any(|owner| owner.uid == uid && owner.blocks))
            })
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests;
