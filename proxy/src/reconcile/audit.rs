//! The kernel's maps as they are: read at start, and compared again and again with what we believe. From
//! [`crate::datapath::typed_maps`]; to [`super::Reconciler`].

use std::collections::HashMap;
use std::sync::Arc;

use skep_proxy_ebpf::maps::backend::{Backend, ChunkKey, ChunkValue};
use skep_proxy_ebpf::maps::service::{ServiceKey, ServiceValue};

use super::{Actual, Reconciler};
use crate::datapath::typed_maps::{MapError, TypedMaps};
use crate::entries::Entry;

/// Reads every frontend with its backends. What says the same as `believed` shares its memory.
///
/// # Errors
/// When a map cannot be read.
pub fn read(maps: &TypedMaps, believed: &HashMap<ServiceKey, Actual>) -> Result<HashMap<ServiceKey, Actual>, MapError> {
    let mut failed = None;
    let mut found = HashMap::with_capacity(believed.len());
    maps.services.visit(|key, value| {
        let backends = backends(&value, |chunk| {
            maps.chunks.get(chunk).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        found.insert(key, actual(&key, &value, backends, believed.get(&key)));
    })?;
    failed.map_or(Ok(found), Err)
}

fn actual(key: &ServiceKey, value: &ServiceValue, backends: Option<Vec<Backend>>, believed: Option<&Actual>) -> Actual {
    let generation = value.generation();
    let is_whole = value.frontend() == key && value.generation_tail() == generation;
    let entry = backends.filter(|_| is_whole).map(|backends| Entry::from_kernel(value, backends));
    let known = believed.and_then(|believed| believed.entry.as_ref());
    let entry = entry.map(|entry| match known {
        Some(known) if **known == entry => Arc::clone(known),
        _ => Arc::new(entry),
    });
    Actual { generation, chunks: value.chunks(), entry }
}

/// The backends of a frontend, with those that are not in it from `chunk`; `None` when a chunk is missing or torn.
#[must_use]
pub fn backends(value: &ServiceValue, mut chunk: impl FnMut(&ChunkKey) -> Option<ChunkValue>) -> Option<Vec<Backend>> {
    if !value.is_chunked() {
        return Some(value.inline_backends().to_vec());
    }
    let generation = value.generation();
    let mut all = Vec::new();
    for number in 0..value.chunks() {
        let chunk = chunk(&ChunkKey::new(generation, number))?;
        if chunk.generation_head() != generation || chunk.generation_tail() != generation {
            return None;
        }
        all.extend(chunk.backends);
    }
    all.truncate(usize::try_from(value.count()).unwrap_or(usize::MAX));
    Some(all)
}

impl Reconciler {
    /// Compares the kernel with what we believe; what differs is put right in the next round. Returns the frontends
    /// that somebody else changed.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn audit(&mut self, maps: &TypedMaps) -> Result<Vec<ServiceKey>, MapError> {
        let found = read(maps, &self.actual)?;
        let same = |key: &ServiceKey, is: &Actual| {
            self.actual
                .get(key)
                .is_some_and(|believed| believed.generation == is.generation && believed.entry == is.entry)
        };
        let mut differing: Vec<ServiceKey> =
            found.iter().filter(|(key, is)| !same(key, is)).map(|(key, _)| *key).collect();
        differing.extend(self.actual_keys().into_iter().filter(|key| !found.contains_key(key)));
        // A frontend may have been given a generation that we have not used yet.
        self.generation = found.values().map(|is| is.generation).fold(self.generation, u64::max);
        self.prune_due |= !differing.is_empty();
        self.dirty.extend(&differing);
        self.actual = found;
        Ok(differing)
    }
}
