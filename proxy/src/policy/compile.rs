//! Policies, pods and namespaces → the elements of the maps, for the pods of one node. To [`super::publish`]. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube::core::{Selector, SelectorExt as _};
use skep_proxy_ebpf::maps::identity::{ANYBODY, IdentityKey};
use skep_proxy_ebpf::maps::pod::PodKey;
use skep_proxy_ebpf::maps::pod_policy::{OPEN, PodPolicyValue};
use skep_proxy_ebpf::maps::policy_namespace::PolicyNamespaceKey;
use skep_proxy_ebpf::maps::policy_rule::{PolicyRuleKey, PolicyRuleValue};
use skep_proxy_ebpf::protocol::Protocol;

use super::objects::{Labels, NamedPort, Namespace, Peer, Pod, Policy, Port, PortNumber, Rule};
use super::peers::{Namespaces, PeerSets, hash, identity};
use super::ports::Called;
use crate::objects::ObjectName;

/// What the API says.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// Every policy, by name.
    pub policies: &'a BTreeMap<&'a ObjectName, &'a Policy>,
    /// Every pod that has an address.
    pub pods: &'a HashMap<ObjectName, Pod>,
    /// Every namespace.
    pub namespaces: &'a HashMap<ObjectName, Namespace>,
}

/// What the maps shall hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// `POLICY_NAMESPACES`.
    pub namespaces: BTreeSet<PolicyNamespaceKey>,
    /// `POLICY_RULES`, by prefix length and key.
    pub rules: BTreeMap<(u32, PolicyRuleKey), PolicyRuleValue>,
    /// `IDENTITIES`, by prefix length and key.
    pub identities: BTreeMap<(u32, IdentityKey), u64>,
    /// `POD_POLICY`: every pod of the node.
    pub pods: BTreeMap<PodKey, PodPolicyValue>,
    /// What is counted in `POLICY_COUNT`.
    pub counted: BTreeSet<u64>,
}

/// Which way a rule looks, as its pod sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Ingress,
    Egress,
}

/// A rule as one pod is under it: whom it names (`None` is anybody), what may be called, and where it is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Grant {
    rule: u64,
    peer: Option<usize>,
    called: Called,
}

/// The elements for the pods of `node`. Nothing at all where there is no policy.
#[must_use]
pub fn tables(cluster: &Cluster<'_>, node: &str) -> Tables {
    let mut tables = Tables::default();
    if cluster.policies.is_empty() {
        return tables;
    }
    tables.namespaces = cluster.policies.keys().map(|name| PolicyNamespaceKey::new(&name.namespace)).collect();
    let mut compiler = Compiler { cluster, sets: PeerSets::default(), rules: HashMap::new(), named: None };
    let local = cluster.pods.iter().filter(|(_, pod)| *pod.node == *node);
    for (name, pod) in local.collect::<BTreeMap<_, _>>() {
        let value = PodPolicyValue {
            ingress: compiler.rules(name, pod, Direction::Ingress),
            egress: compiler.rules(name, pod, Direction::Egress),
        };
        tables.pods.extend(pod.addresses.iter().map(|address| (PodKey::new((*address).into()), value)));
    }
    compiler.finish(&mut tables);
    tables
}

type Numbers = BTreeSet<(Protocol, u16)>;

struct Compiler<'a> {
    cluster: &'a Cluster<'a>,
    sets: PeerSets,
    /// By identity.
    rules: HashMap<u64, Vec<Grant>>,
    /// Numbers that pods give a name, once they are asked for.
    named: Option<HashMap<Arc<str>, Numbers>>,
}

impl Compiler<'_> {
    /// The rules of one pod in one direction.
    fn rules(&mut self, name: &ObjectName, pod: &Pod, direction: Direction) -> u64 {
        let cluster = self.cluster;
        let first = ObjectName { namespace: Arc::clone(&name.namespace), name: "".into() };
        let from = cluster.policies.range::<&ObjectName, _>(&first..);
        let of_namespace = from.take_while(|(policy, _)| policy.namespace == name.namespace);
        let mut is_isolated = false;
        let mut grants = BTreeSet::new();
        for (policy_name, policy) in of_namespace.filter(|(_, policy)| policy.pods.matches(&pod.labels)) {
            let (word, rules) = match direction {
                Direction::Ingress => ("ingress", &policy.ingress),
                Direction::Egress => ("egress", &policy.egress),
            };
            let Some(rules) = rules else { continue };
            is_isolated = true;
            for (number, rule) in rules.iter().enumerate() {
                let id = hash([policy_name.to_string().as_str(), word, &number.to_string()]);
                self.grant(id, rule, &policy_name.namespace, pod, direction, &mut grants);
            }
        }
        if !is_isolated {
            return OPEN;
        }
        let texts = grants
            .iter()
            .map(|grant| format!("{} {:?} {:?}", grant.rule, grant.peer.map(|peer| self.sets.id(peer)), grant.called));
        let mut texts: Vec<String> = texts.collect();
        texts.sort_unstable();
        let id = hash(&texts);
        self.rules.entry(id).or_insert_with(|| grants.into_iter().collect());
        id
    }

    fn grant(
        &mut self,
        id: u64,
        rule: &Rule,
        namespace: &Arc<str>,
        pod: &Pod,
        direction: Direction,
        grants: &mut BTreeSet<Grant>,
    ) {
        let any = [None];
        let ports: Vec<Option<&Port>> = match &rule.ports {
            None => any.to_vec(),
            Some(ports) => ports.iter().map(Some).collect(),
        };
        for port in ports {
            // (a name that the other end must give the port, what may be called)
            let called: Vec<(Option<&Arc<str>>, Called)> = match port.map(|port| (port.protocol, &port.number)) {
                None => vec![(None, Called::Anything)],
                Some((protocol, PortNumber::Any)) => vec![(None, Called::Protocol(protocol))],
                Some((protocol, PortNumber::Range(first, last))) => {
                    vec![(None, Called::Ports(protocol, *first, *last))]
                }
                Some((protocol, PortNumber::Named(name))) => match direction {
                    // The pod itself is called.
                    Direction::Ingress => {
                        let number = pod.port(name, protocol).into_iter();
                        number.map(|number| (None, Called::Ports(protocol, number, number))).collect()
                    }
                    Direction::Egress => {
                        let numbers = self.numbers(name, protocol).into_iter();
                        numbers.map(|number| (Some(name), Called::Ports(protocol, number, number))).collect()
                    }
                },
            };
            for (name, called) in called {
                let named = match (name, called) {
                    (Some(name), Called::Ports(protocol, number, _)) => {
                        Some(NamedPort { name: Arc::clone(name), protocol, number })
                    }
                    (_, Called::Anything | Called::Protocol(_) | Called::Ports(..)) => None,
                };
                for peer in self.peers(rule.peers.as_deref(), namespace, named.as_ref()) {
                    grants.insert(Grant { rule: id, peer, called });
                }
            }
        }
    }

    fn peers(&mut self, peers: Option<&[Peer]>, namespace: &Arc<str>, named: Option<&NamedPort>) -> Vec<Option<usize>> {
        let Some(peers) = peers else {
            // Anybody who gives the port that name is a pod.
            let all = |sets: &mut PeerSets, named| {
                sets.pods(Namespaces::Labelled(Selector::default()), Selector::default(), Some(named))
            };
            return vec![named.cloned().map(|named| all(&mut self.sets, named))];
        };
        let sets = &mut self.sets;
        let number = |peer: &Peer| match peer {
            Peer::Pods { namespaces, pods } => {
                let namespaces = match namespaces {
                    Some(selector) => Namespaces::Labelled(selector.clone()),
                    None => Namespaces::One(Arc::clone(namespace)),
                };
                sets.pods(namespaces, pods.clone(), named.cloned())
            }
            Peer::Block(block) => sets.block(block.clone(), named.cloned()),
        };
        peers.iter().map(number).map(Some).collect()
    }

    /// Every number that some pod gives this name.
    fn numbers(&mut self, name: &Arc<str>, protocol: Protocol) -> BTreeSet<u16> {
        let cluster = self.cluster;
        let named = self.named.get_or_insert_with(|| {
            let mut named: HashMap<_, Numbers> = HashMap::new();
            for port in cluster.pods.values().flat_map(|pod| &pod.ports) {
                named.entry(Arc::clone(&port.name)).or_default().insert((port.protocol, port.number));
            }
            named
        });
        let numbers = named.get(name).into_iter().flatten();
        numbers.filter(|(of, _)| *of == protocol).map(|(_, number)| *number).collect()
    }

    /// Divides the addresses by the sets that rules name, and writes the rules out.
    fn finish(self, tables: &mut Tables) {
        let mut classes: HashSet<Vec<usize>> = HashSet::new();
        for (range, members) in self.sets.ranges() {
            tables.identities.insert(range, identity(&self.sets, &members));
            classes.insert(members);
        }
        let nowhere = Namespace::default();
        let mut selected: HashMap<(&str, &Labels), Vec<usize>> = HashMap::new();
        for (name, pod) in self.cluster.pods {
            let own = ObjectName { namespace: "".into(), name: Arc::clone(&name.namespace) };
            let namespace = self.cluster.namespaces.get(&own).unwrap_or(&nowhere);
            let selected = selected
                .entry((&name.namespace, &pod.labels))
                .or_insert_with(|| self.sets.selected(&name.namespace, &namespace.labels, &pod.labels));
            for address in &pod.addresses {
                let members = self.sets.of_pod(pod, *address, selected);
                // In no set, it is what the range around it is: in none either.
                let range = IdentityKey::range(*address, if address.is_ipv4() { 32 } else { 128 });
                if let Some(range) = range.filter(|_| !members.is_empty()) {
                    tables.identities.insert(range, identity(&self.sets, &members));
                    classes.insert(members);
                }
            }
        }
        let mut identities: HashMap<usize, Vec<u64>> = HashMap::new();
        for members in classes {
            let identity = identity(&self.sets, &members);
            members.iter().for_each(|set| identities.entry(*set).or_default().push(identity));
        }
        for (id, grants) in &self.rules {
            tables.counted.insert(*id);
            for grant in grants {
                tables.counted.insert(grant.rule);
                let whom = match grant.peer {
                    None => &[ANYBODY][..],
                    Some(set) => identities.get(&set).map(Vec::as_slice).unwrap_or_default(),
                };
                for key in whom.iter().flat_map(|identity| grant.called.keys(*id, *identity)) {
                    // Where two rules allow the same, the first one counts.
                    tables.rules.entry(key).or_insert(PolicyRuleValue { rule: grant.rule });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
