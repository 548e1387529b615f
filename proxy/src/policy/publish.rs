//! Tables → the kernel's maps. From [`super::compile`] by way of the agent; to [`crate::datapath::typed_maps`].
//!
//! First what is new, from the rules up to the pods, then what nobody names any more; then the generation, with which the
//! programs judge every flow anew. Under way a packet meets whole rules, old or new ones.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::lpm_trie::Key;
use skep_proxy_ebpf::maps::policy_count::{PolicyCount, PolicyCountKey};

use super::Tables;
use crate::datapath::typed_maps::{MapError, Table, TypedMaps};

/// Knows what the kernel holds.
#[derive(Debug)]
pub struct Publisher {
    published: Tables,
    /// Something may be only half written.
    is_torn: bool,
}

impl Publisher {
    /// Takes over what the kernel holds.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn restore(maps: &TypedMaps) -> Result<Self, MapError> {
        Ok(Self { published: read(maps)?, is_torn: false })
    }

    /// Makes the kernel hold `wanted`. Returns whether anything changed, by this call or one that failed before: then the
    /// generation has to be advanced.
    ///
    /// # Errors
    /// When a map is full or the kernel refuses; the next call goes on.
    pub fn publish(&mut self, wanted: Tables, maps: &TypedMaps) -> Result<bool, MapError> {
        let was_torn = self.is_torn;
        if was_torn {
            self.published = read(maps)?;
        }
        if self.published == wanted {
            self.is_torn = false;
            return Ok(was_torn);
        }
        self.is_torn = true;
        let before = &self.published;
        let counts: Vec<_> = wanted.counted.difference(&before.counted).map(count).collect();
        maps.policy_counts.put_all(&counts)?;
        let namespaces: Vec<_> = wanted.namespaces.difference(&before.namespaces).map(|key| (*key, 0)).collect();
        maps.policy_namespaces.put_all(&namespaces)?;
        put_ranges(&maps.policy_rules, &before.rules, &wanted.rules)?;
        put_ranges(&maps.identities, &before.identities, &wanted.identities)?;
        maps.pod_policies.put_all(&changed(&before.pods, &wanted.pods).collect::<Vec<_>>())?;

        maps.pod_policies.delete_all(&gone(&before.pods, &wanted.pods).collect::<Vec<_>>())?;
        delete_ranges(&maps.identities, &before.identities, &wanted.identities)?;
        delete_ranges(&maps.policy_rules, &before.rules, &wanted.rules)?;
        maps.policy_namespaces
            .delete_all(&before.namespaces.difference(&wanted.namespaces).copied().collect::<Vec<_>>())?;
        let idle: Vec<_> = before.counted.difference(&wanted.counted).map(|id| count(id).0).collect();
        maps.policy_counts.delete_all(&idle)?;
        self.published = wanted;
        self.is_torn = false;
        Ok(true)
    }

    /// Reads the kernel again: what somebody else changed is put right by the next [`Self::publish`].
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn audit(&mut self, maps: &TypedMaps) -> Result<bool, MapError> {
        let found = read(maps)?;
        let is_same = found == self.published;
        self.published = found;
        Ok(is_same)
    }
}

fn count(id: &u64) -> (PolicyCountKey, PolicyCount) {
    (PolicyCountKey { id: *id }, PolicyCount::default())
}

fn read(maps: &TypedMaps) -> Result<Tables, MapError> {
    Ok(Tables {
        namespaces: maps.policy_namespaces.dump()?.into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>(),
        rules: ranges(&maps.policy_rules)?,
        identities: ranges(&maps.identities)?,
        pods: maps.pod_policies.dump()?.into_iter().collect(),
        counted: maps.policy_counts.dump()?.into_iter().map(|(key, _)| key.id).collect(),
    })
}

fn ranges<K: Ord + aya::Pod, V: aya::Pod>(table: &Table<Key<K>, V>) -> Result<BTreeMap<(u32, K), V>, MapError> {
    Ok(table.dump()?.into_iter().map(|(key, value)| ((key.prefix_len(), key.data()), value)).collect())
}

fn changed<'a, K: Ord + Copy, V: PartialEq + Copy>(
    before: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> + 'a {
    wanted.iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, value)| (*key, *value))
}

fn gone<'a, K: Ord + Copy, V>(before: &'a BTreeMap<K, V>, wanted: &'a BTreeMap<K, V>) -> impl Iterator<Item = K> + 'a {
    before.keys().filter(|key| !wanted.contains_key(key)).copied()
}

fn put_ranges<K: Ord + aya::Pod, V: aya::Pod + PartialEq>(
    table: &Table<Key<K>, V>,
    before: &BTreeMap<(u32, K), V>,
    wanted: &BTreeMap<(u32, K), V>,
) -> Result<(), MapError> {
    let elements = changed(before, wanted).map(|((bits, key), value)| (Key::new(bits, key), value));
    table.put_all(&elements.collect::<Vec<_>>())
}

fn delete_ranges<K: Ord + aya::Pod, V: aya::Pod>(
    table: &Table<Key<K>, V>,
    before: &BTreeMap<(u32, K), V>,
    wanted: &BTreeMap<(u32, K), V>,
) -> Result<(), MapError> {
    table.delete_all(&gone(before, wanted).map(|(bits, key)| Key::new(bits, key)).collect::<Vec<_>>())
}
