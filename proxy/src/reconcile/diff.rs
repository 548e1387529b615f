//! Wanted and actual → a plan. From [`super::wanted`]; to [`super::apply`]. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use skep_proxy_ebpf::maps::backend::{CHUNK, ChunkKey, ChunkValue};
use skep_proxy_ebpf::maps::backend_count::BackendCountKey;
use skep_proxy_ebpf::maps::service::{ServiceKey, ServiceValue};

use super::Actual;
use super::wanted::Wanted;
use crate::entries::Entry;

/// A frontend to be written.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its key.
    pub key: ServiceKey,
    /// Its element.
    pub value: ServiceValue,
    /// What it will say, under which generation.
    pub actual: Actual,
}

/// What is to be done, in the order of its fields: whoever reads meanwhile finds everything it is led to.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Counters that must exist before anybody is led to their backend.
    pub counters: Vec<BackendCountKey>,
    /// Backends of frontends that have many.
    pub chunks: Vec<(ChunkKey, ChunkValue)>,
    /// Frontends.
    pub writes: Vec<Write>,
    /// Frontends that go.
    pub deletes: Vec<ServiceKey>,
    /// Backends of generations that no frontend names any more.
    pub old_chunks: Vec<ChunkKey>,
}

/// Compares `keys`. Frontends that nobody wants go only when `may_delete`.
#[must_use]
pub fn plan<S: std::hash::BuildHasher>(
    keys: &[ServiceKey],
    wanted: &Wanted,
    actual: &HashMap<ServiceKey, Actual, S>,
    may_delete: bool,
    generation: &mut u64,
) -> Plan {
    let mut plan = Plan::default();
    for key in keys {
        let is = actual.get(key);
        match wanted.get(key) {
            Some(entry) if is.is_some_and(|is| is.entry.as_ref() == Some(entry)) => {}
            Some(entry) => {
                *generation = generation.wrapping_add(1);
                plan.write(*key, entry, *generation);
                plan.drop_chunks(is);
                let before = is.and_then(|is| is.entry.as_deref());
                plan.counters.extend(new_counters(entry, before));
            }
            None if may_delete && is.is_some() => {
                plan.deletes.push(*key);
                plan.drop_chunks(is);
            }
            None => {}
        }
    }
    plan.counters.sort_unstable();
    plan.counters.dedup();
    plan
}

fn new_counters(entry: &Entry, before: Option<&Entry>) -> Vec<BackendCountKey> {
    let had: Vec<BackendCountKey> = before.map(|before| before.counters().collect()).unwrap_or_default();
    entry.counters().filter(|counter| !had.contains(counter)).collect()
}

impl Plan {
    fn write(&mut self, key: ServiceKey, entry: &Arc<Entry>, generation: u64) {
        let value = entry.value(key, generation);
        if value.is_chunked() {
            let chunks = entry.backends.chunks(CHUNK).zip(0..);
            let chunks =
                chunks.map(|(backends, n)| (ChunkKey::new(generation, n), ChunkValue::new(generation, backends)));
            self.chunks.extend(chunks);
        }
        let actual = Actual { generation, chunks: value.chunks(), entry: Some(Arc::clone(entry)) };
        self.writes.push(Write { key, value, actual });
    }

    fn drop_chunks(&mut self, before: Option<&Actual>) {
        let Some(before) = before else { return };
        self.old_chunks.extend((0..before.chunks).map(|n| ChunkKey::new(before.generation, n)));
    }
}

#[cfg(test)]
mod tests;
