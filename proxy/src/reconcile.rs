//! Makes the kernel's maps say what is wanted. From [`crate::entries`]; to [`crate::datapath::typed_maps`].
//!
//! ```text
//! wanted   which element stands under each key, and whose it is            pure
//! diff     wanted and actual → a plan: what to write and delete, in order  pure
//! apply    the plan → the maps; what failed stays to be done
//! prune    what earlier agents left behind; counters nobody needs
//! audit    the kernel's maps against what we believe they hold
//! nodes    the map of address ranges, compared whole
//! ```
//!
//! At start the maps are read and taken for what is: an entry that is still wanted is not touched. Nothing is deleted
//! before the first full list of Services and slices has arrived ([`Reconciler::set_complete`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use skep_proxy_ebpf::maps::service::ServiceKey;

use crate::datapath::typed_maps::{MapError, TypedMaps};
use crate::entries::Entry;
use crate::objects::ObjectName;

pub mod apply;
pub mod audit;
pub mod diff;
pub mod nodes;
pub mod prune;
pub mod wanted;

use wanted::Wanted;

/// What the kernel holds under a key, as far as we know.
#[derive(Clone, Debug)]
pub struct Actual {
    /// The generation it was published under.
    pub generation: u64,
    /// Chunks of backends under that generation.
    pub chunks: u32,
    /// What it says; `None` when it could not be made out, so it must be written anew.
    pub entry: Option<Arc<Entry>>,
}

/// Keeps `SERVICES`, `BACKENDS` and `BACKEND_COUNT` as they should be.
#[derive(Debug)]
pub struct Reconciler {
    wanted: Wanted,
    actual: HashMap<ServiceKey, Actual>,
    /// Keys that may differ.
    dirty: BTreeSet<ServiceKey>,
    /// The last generation given out. Never used twice, or a reader could take chunks of one frontend for another's.
    generation: u64,
    /// Everything wanted is known: what is not wanted may go.
    is_complete: bool,
    /// Something may have been left behind.
    prune_due: bool,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Frontends written.
    pub written: usize,
    /// Frontends deleted.
    pub deleted: usize,
}

impl Reconciler {
    /// Takes over what the kernel holds.
    ///
    /// # Errors
    /// When the maps cannot be read.
    pub fn restore(maps: &TypedMaps) -> Result<Self, MapError> {
        let actual = audit::read(maps, &HashMap::new())?;
        let generation = actual.values().map(|a| a.generation).max().unwrap_or(0);
        Ok(Self {
            wanted: Wanted::default(),
            actual,
            dirty: BTreeSet::new(),
            generation,
            is_complete: false,
            prune_due: true,
        })
    }

    /// Says what is wanted for one Service; nothing when it is gone.
    pub fn want(&mut self, service: &ObjectName, entries: Vec<(ServiceKey, Entry)>) {
        let changed = self.wanted.replace(service, entries);
        self.dirty.extend(changed);
    }

    /// Says that everything wanted is known, from the first full list on: everything else is due for deletion.
    pub fn set_complete(&mut self) {
        if !self.is_complete {
            self.is_complete = true;
            self.dirty.extend(self.actual.keys().filter(|key| self.wanted.get(key).is_none()));
        }
    }

    /// Whether something is left to be done.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Brings the kernel to what is wanted. After an error, what was not done stays to be done in the next round.
    ///
    /// # Errors
    /// When a map is full or the kernel refuses.
    pub fn round(&mut self, maps: &TypedMaps) -> Result<Round, MapError> {
        let keys: Vec<ServiceKey> = self.dirty.iter().copied().collect();
        let plan = diff::plan(&keys, &self.wanted, &self.actual, self.is_complete, &mut self.generation);
        let round = Round { written: plan.writes.len(), deleted: plan.deletes.len() };
        self.prune_due |= round != Round::default();
        self.execute(plan, maps)?;
        self.dirty.clear();
        // What was found to be right is held once.
        for key in &keys {
            if let (Some(wanted), Some(actual)) = (self.wanted.get(key), self.actual.get_mut(key))
                && actual.entry.as_ref() == Some(wanted)
            {
                actual.entry = Some(Arc::clone(wanted));
            }
        }
        Ok(round)
    }

    /// Frontends in the kernel.
    #[must_use]
    pub fn frontends(&self) -> usize {
        self.actual.len()
    }
}
