//! Removes what nobody names any more. From the agent's clock; to [`crate::datapath::typed_maps`].
//!
//! That is: counters of backends that are gone, and chunks of generations that are. Frontends themselves are deleted by
//! [`super::diff`].

use std::collections::{HashMap, HashSet};

use skep_proxy_ebpf::maps::backend::ChunkKey;
use skep_proxy_ebpf::maps::backend_count::{BackendCount, BackendCountKey};

use super::Reconciler;
use crate::datapath::typed_maps::{MapError, TypedMaps};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Counters.
    pub counters: usize,
    /// Chunks of backends.
    pub chunks: usize,
}

impl Reconciler {
    /// Removes what is left over. Does nothing before everything wanted is known.
    ///
    /// # Errors
    /// When a map cannot be read or changed.
    pub fn prune(&mut self, maps: &TypedMaps) -> Result<Pruned, MapError> {
        if !self.is_complete || self.is_dirty() {
            return Ok(Pruned::default());
        }
        let named: HashMap<u64, u32> = self.actual.values().map(|is| (is.generation, is.chunks)).collect();
        let is_named = |key: &ChunkKey| named.get(&key.generation()).is_some_and(|chunks| key.chunk() < *chunks);
        let old: Vec<ChunkKey> =
            maps.chunks.dump()?.into_iter().map(|(key, _)| key).filter(|key| !is_named(key)).collect();
        maps.chunks.delete_all(&old)?;

        let needed: HashSet<BackendCountKey> = self.wanted.iter().flat_map(|(_, entry)| entry.counters()).collect();
        let services: HashSet<u64> = needed.iter().map(BackendCountKey::service_id).collect();
        let idle: Vec<BackendCountKey> = maps
            .backend_counts
            .dump()?
            .into_iter()
            .filter(|(key, count)| is_idle(key, *count, &needed, &services))
            .map(|(key, _)| key)
            .collect();
        maps.backend_counts.delete_all(&idle)?;
        Ok(Pruned { counters: idle.len(), chunks: old.len() })
    }
}

/// A backend that left keeps its counter while connections to it live: they are what an operator waits for.
fn is_idle(
    key: &BackendCountKey,
    count: BackendCount,
    needed: &HashSet<BackendCountKey>,
    services: &HashSet<u64>,
) -> bool {
    !needed.contains(key) && (count.live() == 0 || !services.contains(&key.service_id()))
}
