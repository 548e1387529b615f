//! Removes what nobody names any more. From the agent's clock; to [`crate::datapath::typed_maps`].
//!
//! That is: counters of backends that are gone, and chunks of generations that are. Frontends themselves are deleted by
//! [`super::diff`].

use std::collections::HashMap;

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
    /// Removes what is left over. Does nothing before everything wanted is known, nor while nothing can have been left.
    ///
    /// # Errors
    /// When a map cannot be read or changed.
    pub fn prune(&mut self, maps: &TypedMaps) -> Result<Pruned, MapError> {
        if !self.is_complete || self.is_dirty() || !self.prune_due {
            return Ok(Pruned::default());
        }
        let named: HashMap<u64, u32> = self.actual.values().map(|is| (is.generation, is.chunks)).collect();
        let is_named = |key: &ChunkKey| named.get(&key.generation()).is_some_and(|chunks| key.chunk() < *chunks);
        let mut old: Vec<ChunkKey> = Vec::new();
        maps.chunks.visit(|key, _| {
            if !is_named(&key) {
                old.push(key);
            }
        })?;
        maps.chunks.delete_all(&old)?;

        // Sorted, not hashed: as small as it can be, and by Service first.
        let mut needed: Vec<BackendCountKey> = self.wanted.iter().flat_map(|(_, entry)| entry.counters()).collect();
        needed.sort_unstable();
        needed.dedup();
        let mut idle: Vec<BackendCountKey> = Vec::new();
        let mut found = 0_usize;
        maps.backend_counts.visit(|key, count| {
            found += 1;
            if is_idle(&key, count, &needed) {
                idle.push(key);
            }
        })?;
        maps.backend_counts.delete_all(&idle)?;
        // Those of backends that left while connections to them live are looked at again.
        self.prune_due = found.saturating_sub(idle.len()) > needed.len();
        Ok(Pruned { counters: idle.len(), chunks: old.len() })
    }
}

/// A backend that left keeps its counter while connections to it live: they are what an operator waits for.
fn is_idle(key: &BackendCountKey, count: BackendCount, needed: &[BackendCountKey]) -> bool {
    let Err(at) = needed.binary_search(key) else { return false };
    // Keys are sorted by Service first: a needed one of the same Service stands on one side.
    let mut beside = needed.get(at).into_iter().chain(at.checked_sub(1).and_then(|before| needed.get(before)));
    count.live() == 0 || beside.all(|other| other.service_id() != key.service_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proxy_ebpf::address::Address;

    #[test]
    fn counters_stay_while_needed_or_while_connections_live() {
        let key = |service, port: u16| BackendCountKey::new(service, Address::from_ipv4_word(7), port.to_be());
        let needed = [key(1, 80), key(3, 80), key(3, 82)];
        let live = BackendCount { opened: 2, closed: 1 };
        let idle = BackendCount { opened: 2, closed: 2 };
        for kept in needed {
            assert!(!is_idle(&kept, idle, &needed));
        }
        for left in [key(1, 79), key(1, 81), key(3, 81), key(3, 83)] {
            assert!(!is_idle(&left, live, &needed), "{left:?}");
            assert!(is_idle(&left, idle, &needed), "{left:?}");
        }
        // Its Service is gone: nobody will ever ask.
        for gone in [key(0, 80), key(2, 80), key(4, 80)] {
            assert!(is_idle(&gone, live, &needed), "{gone:?}");
        }
        assert!(is_idle(&key(1, 80), live, &[]));
    }
}
