//! The objects of one kind, with indices. From [`crate::informer`]; to every controller's decision. Pure.

use crate::object_key::ObjectKey;
use crate::owners::controller_of;
use kube::Resource;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Gives the value an object is found by in the extra index of its store, e.g. a pod's node.
pub type IndexBy<K> = fn(&K) -> Option<String>;

/// All objects of a kind, by key, by controlling owner, and by one extra value.
#[derive(Debug)]
pub struct Store<K> {
    objects: BTreeMap<ObjectKey, Arc<K>>,
    by_owner: HashMap<String, BTreeSet<ObjectKey>>,
    orphans: HashMap<String, BTreeSet<ObjectKey>>,
    by_value: HashMap<String, BTreeSet<ObjectKey>>,
    index_by: Option<IndexBy<K>>,
}

impl<K: Resource> Store<K> {
    /// An empty store; `index_by` adds an index to look objects up in with [`Store::indexed`].
    pub fn new(index_by: Option<IndexBy<K>>) -> Self {
        Self {
            objects: BTreeMap::new(),
            by_owner: HashMap::new(),
            orphans: HashMap::new(),
            by_value: HashMap::new(),
            index_by,
        }
    }

    /// Puts an object in and returns what it replaces.
    pub fn insert(&mut self, object: Arc<K>) -> Option<Arc<K>> {
        let key = ObjectKey::of(&*object);
        let old = self.remove(&key);
        match controller_of(&*object) {
            Some(owner) => self.by_owner.entry(owner.uid.clone()).or_default().insert(key.clone()),
            None => self.orphans.entry(key.namespace.clone()).or_default().insert(key.clone()),
        };
        if let Some(value) = self.index_by.and_then(|index| index(&object)) {
            self.by_value.entry(value).or_default().insert(key.clone());
        }
        self.objects.insert(key, object);
        old
    }

    /// Takes an object out.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<K>> {
        let old = self.objects.remove(key)?;
        match controller_of(&*old) {
            Some(owner) => unindex(&mut self.by_owner, &owner.uid, key),
            None => unindex(&mut self.orphans, &key.namespace, key),
        }
        if let Some(value) = self.index_by.and_then(|index| index(&old)) {
            unindex(&mut self.by_value, &value, key);
        }
        Some(old)
    }

    /// The object with this key.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.objects.get(key).cloned()
    }

    /// All objects, ordered by key.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.values().cloned().collect()
    }

    /// All keys, ordered.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.objects.keys().cloned().collect()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The objects of a namespace, ordered by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.objects
            .range(ObjectKey::new(namespace, "")..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// The objects whose controlling owner has this uid.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.lookup(&self.by_owner, uid)
    }

    /// The objects of a namespace that no controller owns.
    pub fn orphans_in(&self, namespace: &str) -> Vec<Arc<K>> {
        self.lookup(&self.orphans, namespace)
    }

    /// The objects for which `index_by` gave this value.
    pub fn indexed(&self, value: &str) -> Vec<Arc<K>> {
        self.lookup(&self.by_value, value)
    }

    fn lookup(&self, index: &HashMap<String, BTreeSet<ObjectKey>>, value: &str) -> Vec<Arc<K>> {
        index.get(value).into_iter().flatten().filter_map(|key| self.objects.get(key).cloned()).collect()
    }
}

fn unindex(index: &mut HashMap<String, BTreeSet<ObjectKey>>, value: &str, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(value) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(value);
        }
    }
}

#[cfg(test)]
mod tests;
