//! Whom rules name, as sets of addresses, and in which sets an address is. From [`super::objects`]; to
//! [`super::compile`]. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use kube::core::{Selector, SelectorExt as _};
use sha2::{Digest as _, Sha256};
use skep_proxy_ebpf::maps::identity::{ANYBODY, IdentityKey};

use crate::ids;

use super::objects::{Block, Labels, NamedPort, Pod};

/// A set of addresses.
#[derive(Clone, Debug)]
pub struct PeerSet {
    /// Hash of what the set is: the same after a restart.
    pub id: u64,
    members: Members,
    /// Only pods that give this port that name.
    named: Option<NamedPort>,
}

#[derive(Clone, Debug)]
enum Members {
    Pods { namespaces: Namespaces, pods: Selector },
    Block(Block),
}

/// Namespaces of a set.
#[derive(Clone, Debug)]
pub enum Namespaces {
    /// That one.
    One(Arc<str>),
    /// Those with such labels.
    Labelled(Selector),
}

/// Every set that rules name, each once.
#[derive(Debug, Default)]
pub struct PeerSets {
    sets: Vec<PeerSet>,
    by_text: HashMap<String, usize>,
}

impl PeerSets {
    /// The number of the set of these pods.
    pub fn pods(&mut self, namespaces: Namespaces, pods: Selector, named: Option<NamedPort>) -> usize {
        let namespace = match &namespaces {
            Namespaces::One(name) => format!("in {name}"),
            Namespaces::Labelled(selector) => format!("labelled {selector}"),
        };
        self.add(format!("{namespace}; pods {pods}"), Members::Pods { namespaces, pods }, named)
    }

    /// The number of the set of these addresses.
    pub fn block(&mut self, mut block: Block, named: Option<NamedPort>) -> usize {
        block.except.sort();
        self.add(format!("block {block:?}"), Members::Block(block), named)
    }

    fn add(&mut self, mut text: String, members: Members, named: Option<NamedPort>) -> usize {
        if let Some(NamedPort { name, protocol, number }) = &named {
            text += &format!("; {name} {} {number}", protocol.name());
        }
        let sets = &mut self.sets;
        *self.by_text.entry(text).or_insert_with_key(|text| {
            sets.push(PeerSet { id: hash([text.as_bytes()]), members, named });
            sets.len() - 1
        })
    }

    /// The identity of a set.
    #[must_use]
    pub fn id(&self, set: usize) -> u64 {
        self.sets.get(set).map_or(0, |set| set.id)
    }

    /// The sets that a pod's address is in. `selected` are those of [`Self::selected`].
    #[must_use]
    pub fn of_pod(&self, pod: &Pod, address: IpAddr, selected: &[usize]) -> Vec<usize> {
        let has_port = |named: &Option<NamedPort>| {
            named.as_ref().is_none_or(|port| pod.port(&port.name, port.protocol) == Some(port.number))
        };
        let sets = self.sets.iter().enumerate();
        sets.filter(|(index, set)| match &set.members {
            Members::Pods { .. } => selected.binary_search(index).is_ok(),
            Members::Block(block) => block.has(address),
        })
        .filter(|(_, set)| has_port(&set.named))
        .map(|(index, _)| index)
        .collect()
    }

    /// The sets of pods that select such labels, whatever their ports.
    #[must_use]
    pub fn selected(&self, namespace: &str, namespace_labels: &Labels, labels: &Labels) -> Vec<usize> {
        let sets = self.sets.iter().enumerate();
        sets.filter(|(_, set)| match &set.members {
            Members::Pods { namespaces, pods } => {
                let is_there = match namespaces {
                    Namespaces::One(name) => **name == *namespace,
                    Namespaces::Labelled(selector) => selector.matches(namespace_labels),
                };
                is_there && pods.matches(labels)
            }
            Members::Block(_) => false,
        })
        .map(|(index, _)| index)
        .collect()
    }

    /// Ranges in which membership changes, each with the sets it is in.
    #[must_use]
    pub fn ranges(&self) -> BTreeMap<(u32, IdentityKey), Vec<usize>> {
        let blocks = || {
            self.sets.iter().enumerate().filter_map(|(index, set)| match &set.members {
                // A port's name is a pod's affair.
                Members::Block(block) if set.named.is_none() => Some((index, block)),
                Members::Block(_) | Members::Pods { .. } => None,
            })
        };
        let mut borders: Vec<IpNetwork> =
            blocks().flat_map(|(_, block)| std::iter::once(block.range).chain(block.except.iter().copied())).collect();
        // IPv4 addresses lie in the trie as mapped ones, so a range of IPv6 may seem to hold them.
        borders.extend("0.0.0.0/0".parse::<IpNetwork>().ok().filter(|_| borders.iter().any(IpNetwork::is_ipv6)));
        let of_border = |border: IpNetwork| {
            let member = blocks().filter(|(_, block)| block.has_range(border)).map(|(index, _)| index).collect();
            Some((IdentityKey::range(border.network(), border.prefix())?, member))
        };
        borders.into_iter().filter_map(of_border).collect()
    }
}

impl Block {
    fn has(&self, address: IpAddr) -> bool {
        self.range.contains(address) && !self.except.iter().any(|except| except.contains(address))
    }

    /// Whether the whole range is in it, but for narrower holes.
    fn has_range(&self, range: IpNetwork) -> bool {
        let holds = |outer: &IpNetwork| outer.prefix() <= range.prefix() && outer.contains(range.network());
        holds(&self.range) && !self.except.iter().any(holds)
    }
}

/// The identity of addresses that are in exactly these sets.
#[must_use]
pub fn identity(sets: &PeerSets, members: &[usize]) -> u64 {
    if members.is_empty() {
        return ANYBODY;
    }
    let mut ids: Vec<u64> = members.iter().map(|set| sets.id(*set)).collect();
    ids.sort_unstable();
    hash(ids.iter().map(|id| id.to_be_bytes()))
}

/// Never 0, which has a meaning in every map.
pub(super) fn hash<I: IntoIterator<Item: AsRef<[u8]>>>(parts: I) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.as_ref().len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_ref());
    }
    ids::number(hash)
}
