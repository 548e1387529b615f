//! The plan → the maps. From [`super::diff`]; to [`crate::datapath::typed_maps`].

use std::collections::HashSet;

use skep_proxy_ebpf::maps::backend_count::{BackendCount, BackendCountKey};
use skep_proxy_ebpf::maps::service::ServiceKey;

use super::diff::{Plan, Write};
use super::{Actual, Reconciler};
use crate::datapath::typed_maps::{MapError, TypedMaps};

/// From this many new counters on, reading the whole map once is cheaper than asking for each.
const MANY: usize = 64;

impl Reconciler {
    pub(super) fn execute(&mut self, plan: Plan, maps: &TypedMaps) -> Result<(), MapError> {
        create_counters(&plan.counters, maps)?;
        maps.chunks.put_all(&plan.chunks)?;
        let written = self.write(plan.writes, maps);
        // Room that is given back may be what the failed writes lack.
        maps.services.delete_all(&plan.deletes)?;
        for key in &plan.deletes {
            self.actual.remove(key);
        }
        written?;
        maps.chunks.delete_all(&plan.old_chunks)
    }

    fn write(&mut self, writes: Vec<Write>, maps: &TypedMaps) -> Result<(), MapError> {
        let elements: Vec<_> = writes.iter().map(|write| (write.key, write.value)).collect();
        let result = maps.services.put_all(&elements);
        for Write { key, actual, .. } in writes {
            // After a failure it is not known which were written: they are compared, and written, once more.
            let entry = if result.is_ok() { actual.entry } else { None };
            self.actual.insert(key, Actual { entry, ..actual });
        }
        result
    }

    /// The keys that the kernel holds.
    pub(super) fn actual_keys(&self) -> HashSet<ServiceKey> {
        self.actual.keys().copied().collect()
    }
}

/// Makes counters that do not exist; one that exists keeps counting.
fn create_counters(keys: &[BackendCountKey], maps: &TypedMaps) -> Result<(), MapError> {
    let zero = BackendCount::default();
    if keys.len() < MANY {
        for key in keys {
            if maps.backend_counts.get(key)?.is_none() {
                maps.backend_counts.put(key, &zero)?;
            }
        }
        return Ok(());
    }
    let existing: HashSet<BackendCountKey> = maps.backend_counts.dump()?.into_iter().map(|(key, _)| key).collect();
    let missing: Vec<_> = keys.iter().filter(|key| !existing.contains(key)).map(|key| (*key, zero)).collect();
    maps.backend_counts.put_all(&missing)
}
