//! What the tables allow, against what the API's words say, for random clusters.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use kube::core::SelectorExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use skep_proxy_ebpf::address::Address;
use skep_proxy_ebpf::maps::identity::{ANYBODY, IdentityKey};
use skep_proxy_ebpf::maps::pod::PodKey;
use skep_proxy_ebpf::maps::pod_policy::OPEN;
use skep_proxy_ebpf::maps::policy_rule::PolicyRuleKey;
use skep_proxy_ebpf::protocol::Protocol;

use super::{Cluster, Tables, tables};
use crate::objects::ObjectName;
use crate::policy::objects::{Namespace, Peer, Pod, Policy, PortNumber, Rule};

#[derive(Debug, Default)]
struct World {
    policies: BTreeMap<ObjectName, Policy>,
    pods: HashMap<ObjectName, Pod>,
    namespaces: HashMap<ObjectName, Namespace>,
}

impl World {
    fn namespace(&mut self, name: &str, labels: &Value) {
        let object = json!({"metadata": {"name": name, "labels": labels}});
        let namespace = Namespace::from_api(&serde_json::from_value(object).unwrap());
        self.namespaces.insert(ObjectName::new("", name), namespace);
    }

    fn pod(&mut self, namespace: &str, name: &str, node: &str, labels: &Value, addresses: &[&str], ports: &Value) {
        let ips: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let object = json!({
            "metadata": {"namespace": namespace, "name": name, "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": ports}]},
            "status": {"podIPs": ips},
        });
        let pod = Pod::from_api(&serde_json::from_value(object).unwrap()).unwrap();
        self.pods.insert(ObjectName::new(namespace, name), pod);
    }

    fn policy(&mut self, namespace: &str, name: &str, spec: &Value) {
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
        let policy = Policy::from_api(&serde_json::from_value(object).unwrap()).unwrap();
        self.policies.insert(ObjectName::new(namespace, name), policy);
    }

    fn tables(&self) -> Tables {
        tables(
            &Cluster { policies: &self.policies.iter().collect(), pods: &self.pods, namespaces: &self.namespaces },
            "n1",
        )
    }

    /// What the words say of a call between a local pod and `remote`. `called` is the pod that is called, if it is one.
    fn says(&self, name: &ObjectName, ingress: bool, remote: IpAddr, protocol: Protocol, port: u16) -> bool {
        let pod = &self.pods[name];
        let other = self.pods.iter().find(|(_, pod)| pod.addresses.contains(&remote));
        let called = if ingress { Some(pod) } else { other.map(|(_, pod)| pod) };
        let policies = self
            .policies
            .iter()
            .filter(|(p, policy)| p.namespace == name.namespace && policy.pods.matches(&pod.labels));
        let rules: Vec<(&ObjectName, &Vec<Rule>)> = policies
            .filter_map(|(name, policy)| {
                Some((name, if ingress { policy.ingress.as_ref() } else { policy.egress.as_ref() }?))
            })
            .collect();
        let peer_is = |policy: &ObjectName, peer: &Peer| match peer {
            Peer::Block(block) => {
                block.range.contains(remote) && !block.except.iter().any(|except| except.contains(remote))
            }
            Peer::Pods { namespaces, pods } => other.is_some_and(|(name, pod)| {
                let labels = &self.namespaces[&ObjectName::new("", &name.namespace)].labels;
                let is_there = match namespaces {
                    None => name.namespace == policy.namespace,
                    Some(selector) => selector.matches(labels),
                };
                is_there && pods.matches(&pod.labels)
            }),
        };
        let allows = |policy: &ObjectName, rule: &Rule| {
            let peer = rule.peers.as_ref().is_none_or(|peers| peers.iter().any(|peer| peer_is(policy, peer)));
            let port = rule.ports.as_ref().is_none_or(|ports| {
                ports.iter().any(|p| {
                    p.protocol == protocol
                        && match &p.number {
                            PortNumber::Any => true,
                            PortNumber::Range(first, last) => (*first..=*last).contains(&port),
                            PortNumber::Named(name) => called.and_then(|pod| pod.port(name, protocol)) == Some(port),
                        }
                })
            });
            peer && port
        };
        rules.is_empty() || rules.iter().any(|(policy, rules)| rules.iter().any(|rule| allows(policy, rule)))
    }
}

/// The longest prefix that holds `key`, as the kernel's trie finds it.
fn longest<K: Copy, V: Copy>(trie: &BTreeMap<(u32, K), V>, bytes: fn(K) -> Vec<u8>, key: K) -> Option<V> {
    let key = bytes(key);
    let holds = |bits: u32, range: &[u8]| {
        (0..bits as usize).all(|bit| (key[bit / 8] ^ range[bit / 8]) & (0x80 >> (bit % 8)) == 0)
    };
    let found = trie.iter().filter(|((bits, range), _)| holds(*bits, &bytes(*range)));
    found.max_by_key(|((bits, _), _)| *bits).map(|(_, value)| *value)
}

fn identity_bytes(key: IdentityKey) -> Vec<u8> {
    key.address().octets().to_vec()
}

fn rule_bytes(key: PolicyRuleKey) -> Vec<u8> {
    let mut bytes = [key.rules().to_ne_bytes(), key.identity().to_ne_bytes()].concat();
    bytes.extend([key.protocol(), 0]);
    bytes.extend(key.port().to_be_bytes());
    bytes
}

/// What the programs make of the tables.
fn allows(tables: &Tables, own: IpAddr, ingress: bool, remote: IpAddr, protocol: Protocol, port: u16) -> bool {
    let policy = tables.pods[&PodKey::new(own.into())];
    let rules = if ingress { policy.ingress } else { policy.egress };
    if rules == OPEN {
        return true;
    }
    let identity =
        longest(&tables.identities, identity_bytes, IdentityKey::new(Address::from(remote))).unwrap_or(ANYBODY);
    [identity, ANYBODY].into_iter().any(|identity| {
        let key = PolicyRuleKey::new(rules, identity, protocol.number(), port.to_be());
        longest(&tables.rules, rule_bytes, key).is_some()
    })
}

fn cluster() -> World {
    let mut world = World::default();
    world.namespace("x", &json!({"team": "red", "kubernetes.io/metadata.name": "x"}));
    world.namespace("y", &json!({"team": "blue", "kubernetes.io/metadata.name": "y"}));
    let web = json!([{"name": "http", "containerPort": 80}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]);
    let odd = json!([{"name": "http", "containerPort": 8080}]);
    world.pod("x", "a", "n1", &json!({"app": "a"}), &["10.0.1.1", "fd00::1:1"], &web);
    world.pod("x", "b", "n1", &json!({"app": "b"}), &["10.0.1.2"], &odd);
    world.pod("y", "c", "n1", &json!({"app": "a"}), &["10.0.1.3", "fd00::1:3"], &json!([]));
    world.pod("y", "d", "n2", &json!({"app": "b", "tier": "1"}), &["10.0.2.1", "fd00::2:1"], &odd);
    world.pod("x", "e", "n2", &json!({}), &["10.0.2.2"], &web);
    world
}

fn remotes(world: &World) -> Vec<IpAddr> {
    let outside = ["192.0.2.1", "192.0.2.129", "10.0.2.9", "2001:db8::1", "fd00::9:9"];
    let mut all: Vec<IpAddr> = outside.iter().map(|text| text.parse().unwrap()).collect();
    all.extend(world.pods.values().flat_map(|pod| pod.addresses.clone()));
    all
}

fn check(world: &World) {
    let tables = world.tables();
    if world.policies.is_empty() {
        assert_eq!(tables, Tables::default());
        return;
    }
    for (name, pod) in world.pods.iter().filter(|(_, pod)| *pod.node == *"n1") {
        for own in &pod.addresses {
            for remote in remotes(world).into_iter().filter(|remote| !pod.addresses.contains(remote)) {
                for ingress in [true, false] {
                    for (protocol, port) in [
                        (Protocol::Tcp, 80),
                        (Protocol::Tcp, 81),
                        (Protocol::Tcp, 8080),
                        (Protocol::Tcp, 30000),
                        (Protocol::Udp, 53),
                        (Protocol::Udp, 80),
                        (Protocol::Sctp, 80),
                    ] {
                        assert_eq!(
                            allows(&tables, *own, ingress, remote, protocol, port),
                            world.says(name, ingress, remote, protocol, port),
                            "{name} {own} ingress={ingress} {remote} {protocol:?} {port}\n{:#?}\n{tables:#?}",
                            world.policies
                        );
                    }
                }
            }
        }
    }
}

fn selector() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        Just(json!({"matchLabels": {"app": "a"}})),
        Just(json!({"matchLabels": {"app": "b"}})),
        Just(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]})),
        Just(json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]})),
    ]
}

fn namespaces() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        Just(json!({"matchLabels": {"team": "red"}})),
        Just(json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["blue", "green"]}]})),
    ]
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector().prop_map(|pods| json!({"podSelector": pods})),
        namespaces().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (namespaces(), selector()).prop_map(|(n, p)| json!({"namespaceSelector": n, "podSelector": p})),
        Just(json!({"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}})),
        Just(json!({"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.0.2.0/24"]}})),
        Just(json!({"ipBlock": {"cidr": "10.0.2.0/24"}})),
        Just(json!({"ipBlock": {"cidr": "0.0.0.0/0"}})),
        Just(json!({"ipBlock": {"cidr": "::/0", "except": ["fd00::/16"]}})),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"port": 80})),
        Just(json!({"port": 80, "endPort": 30000})),
        Just(json!({"protocol": "UDP"})),
        Just(json!({"protocol": "UDP", "port": "dns"})),
        Just(json!({"port": "http"})),
        Just(json!({"protocol": "SCTP", "port": 80})),
    ]
}

fn rules(word: &'static str) -> impl Strategy<Value = Value> {
    let peers = prop::collection::vec(peer(), 0..3);
    let ports = prop::collection::vec(port(), 0..3);
    prop::collection::vec((peers, ports).prop_map(move |(peers, ports)| json!({word: peers, "ports": ports})), 0..3)
        .prop_map(Value::Array)
}

fn spec() -> impl Strategy<Value = Value> {
    let types = prop_oneof![
        Just(json!(["Ingress"])),
        Just(json!(["Egress"])),
        Just(json!(["Ingress", "Egress"])),
        Just(Value::Null)
    ];
    (selector(), types, rules("from"), rules("to")).prop_map(|(pods, types, ingress, egress)| {
        json!({"podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tables_say_what_the_words_say(specs in prop::collection::vec((any::<bool>(), spec()), 0..5)) {
        let mut world = cluster();
        for (number, (is_x, spec)) in specs.iter().enumerate() {
            world.policy(if *is_x { "x" } else { "y" }, &format!("p{number}"), spec);
        }
        check(&world);
    }
}

#[test]
fn identities_and_rules_mean_the_same_after_a_restart_and_a_new_pod() {
    let mut world = cluster();
    world.policy(
        "x",
        "p",
        &json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "blue"}}}]}]}),
    );
    let before = world.tables();
    world.pod("y", "f", "n2", &json!({"app": "new"}), &["10.0.2.7"], &json!([]));
    let after = world.tables();
    assert_eq!((&before.rules, &before.pods), (&after.rules, &after.pods));
    assert_eq!(after.identities.len(), before.identities.len() + 1);
}

#[test]
fn pods_under_the_same_rules_share_them() {
    let mut world = cluster();
    world.policy("x", "deny", &json!({"podSelector": {}}));
    let tables = world.tables();
    let of = |text: &str| tables.pods[&PodKey::new(text.parse::<IpAddr>().unwrap().into())];
    assert_eq!(of("10.0.1.1").ingress, of("10.0.1.2").ingress);
    assert_ne!(of("10.0.1.1").ingress, OPEN);
    assert_eq!((of("10.0.1.1").egress, of("10.0.1.3").ingress), (OPEN, OPEN));
    assert!(tables.rules.is_empty());
}
