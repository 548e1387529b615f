//! Random histories of objects, taken in by the agent's whole pure half and by a kernel made of hash tables, against an
//! oracle that reads the API's documents as the documentation of Services words the rules, and knows nothing of our types.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use skep_proxy_ebpf::maps::backend::{ChunkKey, ChunkValue};
use skep_proxy_ebpf::maps::service::{SCOPE_EXTERNAL, ServiceKey, ServiceValue};

use super::{Agent, applied, deleted, place};
use crate::reconcile::{Actual, audit, diff};
use crate::watch::Change;

const HISTORIES: u64 = 100;
const STEPS: usize = 40;

/// xorshift64*: the same histories in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % count
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

fn service(chance: &mut Chance) -> Value {
    let number = chance.below(4);
    let (v4, v6) = (format!("10.96.0.{number}"), format!("fd00:10:96::{number}"));
    let ips = match chance.below(6) {
        0 => vec![v6],
        1 => vec!["None".to_owned()],
        2 | 3 => vec![v4, v6],
        _ => vec![v4],
    };
    let mut ports = vec![json!({"name": "a", "port": 80, "protocol": "TCP", "nodePort": 30000 + number})];
    if chance.one_in(2) {
        ports.push(json!({"name": "b", "port": chance.of(&[80, 81]), "protocol": "UDP"}));
    }
    let label = match chance.below(12) {
        0 => json!({"service.kubernetes.io/service-proxy-name": "other"}),
        1 => json!({"service.kubernetes.io/headless": ""}),
        _ => json!({"app": "x"}),
    };
    json!({
        "kind": "Service",
        "metadata": {"namespace": chance.of(&["n", "m"]), "name": format!("s{number}"), "uid": format!("u{}", chance.below(2)), "labels": label},
        "spec": {
            "type": chance.of(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]),
            "clusterIP": ips[0], "clusterIPs": ips, "ports": ports,
            "externalIPs": if chance.one_in(3) { json!([chance.of(&["192.0.2.1", "2001:db8::1"])]) } else { json!([]) },
            "internalTrafficPolicy": chance.of(&["Cluster", "Cluster", "Local"]),
            "externalTrafficPolicy": chance.of(&["Cluster", "Local"]),
            "sessionAffinity": chance.of(&["None", "ClientIP"]),
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1", "ipMode": chance.of(&["VIP", "Proxy"])}]}},
    })
}

fn slice(chance: &mut Chance) -> Value {
    let is_v4 = !chance.one_in(3);
    let endpoints = (0..chance.below(14)).map(|_| {
        // What an address is, it is in every slice: node, zone and hints follow from it.
        let number = chance.below(14);
        let (zone, near, node) = (["z0", "z1"][number % 2], ["n1", "n2"][number % 2], ["n1", "n2", "n3"][number % 3]);
        let hints = match number {
            0..10 => json!({"forZones": [{"name": zone}], "forNodes": [{"name": near}]}),
            10 | 11 => json!({"forZones": [{"name": "z1"}]}),
            _ => json!({}),
        };
        let address = if is_v4 { format!("10.244.0.{number}") } else { format!("fd00:10:244::{number:x}") };
        let condition = |chance: &mut Chance| chance.of(&[json!(null), json!(true), json!(false)]);
        json!({
            "addresses": [address, "10.0.0.255"], "nodeName": node, "hints": hints,
            "conditions": {"ready": condition(chance), "serving": condition(chance), "terminating": condition(chance)},
        })
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let mut ports = vec![json!({"name": "a", "port": chance.of(&[8080, 9090]), "protocol": "TCP"})];
    if chance.one_in(2) {
        ports.push(json!({"name": "b", "port": 5353, "protocol": chance.of(&["UDP", "TCP"])}));
    }
    let mut labels = json!({"kubernetes.io/service-name": format!("s{}", chance.below(4))});
    if chance.one_in(10) {
        labels["service.kubernetes.io/service-proxy-name"] = json!("other");
    }
    json!({
        "kind": "EndpointSlice",
        "metadata": {"namespace": chance.of(&["n", "m"]), "name": format!("e{}", chance.below(6)), "labels": labels},
        "addressType": if is_v4 { "IPv4" } else { "IPv6" }, "ports": ports, "endpoints": endpoints,
    })
}

/// kind, namespace, name.
type Name = [String; 3];

fn name(object: &Value) -> Name {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    [text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"])]
}

/// The elements of a map as hash tables hold them.
#[derive(Default)]
struct Kernel {
    services: HashMap<ServiceKey, ServiceValue>,
    chunks: HashMap<ChunkKey, ChunkValue>,
    actual: HashMap<ServiceKey, Actual>,
    generation: u64,
}

impl Kernel {
    fn follow(&mut self, agent: &Agent) {
        let mut keys: Vec<ServiceKey> = self.actual.keys().copied().collect();
        keys.extend(agent.wanted.iter().map(|(key, _)| *key));
        keys.sort_unstable();
        keys.dedup();
        let plan = diff::plan(&keys, &agent.wanted, &self.actual, true, &mut self.generation);
        self.chunks.extend(plan.chunks);
        for write in plan.writes {
            self.services.insert(write.key, write.value);
            self.actual.insert(write.key, write.actual);
        }
        for key in plan.deletes {
            assert!(self.services.remove(&key).is_some());
            self.actual.remove(&key);
        }
        for key in plan.old_chunks {
            assert!(self.chunks.remove(&key).is_some());
        }
    }
}

/// Who answers at a frontend, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    backends: BTreeSet<SocketAddr>,
    is_silent: bool,
    is_masqueraded: bool,
    has_affinity: bool,
}

/// Address, port, protocol, external.
type Dialled = (IpAddr, u16, String, bool);

fn seen(kernel: &Kernel) -> BTreeMap<Dialled, Answer> {
    let frontends = kernel.services.iter().filter(|(key, _)| !key.is_address_mark());
    let answers = frontends.map(|(key, value)| {
        let backends = audit::backends(value, |chunk| kernel.chunks.get(chunk).copied()).unwrap();
        let dialled = (
            key.address().into(),
            key.port(),
            key.protocol().unwrap().name().to_owned(),
            key.scope() == SCOPE_EXTERNAL,
        );
        let answer = Answer {
            backends: backends.iter().map(|b| SocketAddr::new(b.address().into(), b.port())).collect(),
            is_silent: value.flags() & ServiceValue::DROP_WITHOUT_BACKENDS != 0,
            is_masqueraded: value.flags() & ServiceValue::MASQUERADE != 0,
            has_affinity: value.affinity_seconds() > 0,
        };
        assert_eq!(answer.backends.len(), backends.len(), "a backend stands twice");
        (dialled, answer)
    });
    answers.collect()
}

/// What the documentation says, for a node `n1` in zone `z0` with two addresses.
fn told(world: &BTreeMap<Name, Value>) -> BTreeMap<Dialled, Answer> {
    let mut answers = BTreeMap::new();
    // In the order of names: whoever claims an address first has it.
    for service in world.values().filter(|object| object["kind"] == "Service") {
        let (spec, labels) = (&service["spec"], service["metadata"]["labels"].as_object().unwrap());
        let is_ours = !labels.keys().any(|label| label.starts_with("service.kubernetes.io/"));
        let ips: Vec<IpAddr> =
            spec["clusterIPs"].as_array().unwrap().iter().filter_map(|ip| ip.as_str()?.parse().ok()).collect();
        if !is_ours || ips.is_empty() || spec["type"] == "ExternalName" {
            continue;
        }
        for port in spec["ports"].as_array().unwrap() {
            let number = |field: &str| port[field].as_u64().map(|port| u16::try_from(port).unwrap());
            let mut external: Vec<(IpAddr, u16)> = Vec::new();
            let vips = service["status"]["loadBalancer"]["ingress"].as_array().unwrap().iter();
            let vips =
                vips.filter(|vip| spec["type"] == "LoadBalancer" && vip["ipMode"] == "VIP").map(|vip| &vip["ip"]);
            for ip in spec["externalIPs"].as_array().unwrap().iter().chain(vips) {
                external.push((ip.as_str().unwrap().parse().unwrap(), number("port").unwrap()));
            }
            if let Some(port) = number("nodePort").filter(|_| spec["type"] != "ClusterIP") {
                external.extend([("10.89.0.11".parse().unwrap(), port), ("fd00:10:89::11".parse().unwrap(), port)]);
            }
            // Only families of which the Service has an address.
            external.retain(|(ip, _)| ips.iter().any(|own| own.is_ipv4() == ip.is_ipv4()));
            let mut claim = |ip: IpAddr, port_number: u16, is_external: bool, is_local: bool, is_cluster_ip: bool| {
                let (everywhere, here) = usable(world, service, port, ip.is_ipv4());
                let dialled = (ip, port_number, port["protocol"].as_str().unwrap().to_owned(), is_external);
                answers.entry(dialled).or_insert_with(|| Answer {
                    is_silent: !is_cluster_ip && is_local && !everywhere.is_empty(),
                    is_masqueraded: is_external && !is_local,
                    has_affinity: spec["sessionAffinity"] == "ClientIP",
                    backends: if is_local { here } else { everywhere },
                });
            };
            for ip in &ips {
                claim(*ip, number("port").unwrap(), false, spec["internalTrafficPolicy"] == "Local", true);
            }
            for (ip, number) in external {
                claim(ip, number, false, false, false);
                claim(ip, number, true, spec["externalTrafficPolicy"] == "Local", false);
            }
        }
    }
    answers
}

/// The endpoints for clients of the whole cluster, and those on this node.
fn usable(
    world: &BTreeMap<Name, Value>,
    service: &Value,
    port: &Value,
    is_v4: bool,
) -> (BTreeSet<SocketAddr>, BTreeSet<SocketAddr>) {
    // The best of what slices say about an address; what is absent counts as ready, serving, staying.
    let mut endpoints: BTreeMap<SocketAddr, ([bool; 3], &Value)> = BTreeMap::new();
    let slices = world.values().filter(|slice| {
        let labels = &slice["metadata"]["labels"];
        slice["kind"] == "EndpointSlice"
            && slice["metadata"]["namespace"] == service["metadata"]["namespace"]
            && labels["kubernetes.io/service-name"] == service["metadata"]["name"]
            && labels.get("service.kubernetes.io/service-proxy-name").is_none()
            && slice["addressType"] == if is_v4 { "IPv4" } else { "IPv6" }
    });
    for slice in slices {
        let same = |other: &&Value| other["name"] == port["name"] && other["protocol"] == port["protocol"];
        for target in slice["ports"].as_array().unwrap().iter().filter(same) {
            for endpoint in slice["endpoints"].as_array().unwrap() {
                let condition = |name: &str, absent| endpoint["conditions"][name].as_bool().unwrap_or(absent);
                let state = [condition("ready", true), condition("serving", true), !condition("terminating", false)];
                let address = endpoint["addresses"][0].as_str().unwrap().parse().unwrap();
                let address = SocketAddr::new(address, u16::try_from(target["port"].as_u64().unwrap()).unwrap());
                let best = endpoints.entry(address).or_insert((state, endpoint));
                *best = (best.0.max(state), endpoint);
            }
        }
    }
    let pick = |test: &dyn Fn(&[bool; 3], &Value) -> bool| -> BTreeSet<SocketAddr> {
        endpoints.iter().filter(|(_, (state, endpoint))| test(state, endpoint)).map(|(address, _)| *address).collect()
    };
    let hints = |endpoint: &Value, field: &str| -> Vec<String> {
        let hints = endpoint["hints"][field].as_array().into_iter().flatten();
        hints.map(|hint| hint["name"].as_str().unwrap().to_owned()).collect()
    };
    let is_here = |endpoint: &Value| endpoint["nodeName"] == "n1";
    let leaving = |state: &[bool; 3]| state[1] && !state[2];
    // Clients get ready endpoints; those meant for their node, or else their zone, if no ready endpoint lacks a hint.
    let mut everywhere = pick(&|state, _| state[0]);
    for (field, own) in [("forZones", "z0"), ("forNodes", "n1")] {
        let nobody_lacks = pick(&|state, endpoint| state[0] && hints(endpoint, field).is_empty()).is_empty();
        let meant = pick(&|state, endpoint| state[0] && hints(endpoint, field).iter().any(|hint| hint == own));
        if nobody_lacks && !meant.is_empty() {
            everywhere = meant;
        }
    }
    if everywhere.is_empty() {
        everywhere = pick(&|state, _| leaving(state));
    }
    let mut here = pick(&|state, endpoint| state[0] && is_here(endpoint));
    if here.is_empty() {
        here = pick(&|state, endpoint| leaving(state) && is_here(endpoint));
    }
    (everywhere, here)
}

#[test]
fn every_history_ends_as_the_documentation_says() {
    let place = place(&json!({"node": "n1", "zone": "z0", "addresses": ["10.89.0.11", "fd00:10:89::11"]}));
    let mut chunked = 0;
    for seed in 1..=HISTORIES {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut agent, mut kernel) = (Agent::default(), Kernel::default());
        let mut world: BTreeMap<Name, Value> = BTreeMap::new();
        for step in 0..STEPS {
            match chance.below(12) {
                // A watch starts anew, after it missed a deletion.
                0 => {
                    let kind = chance.of(&["Service", "EndpointSlice"]);
                    let first = world.keys().find(|name| name[0] == kind).cloned();
                    first.map(|name| world.remove(&name));
                    for change in relisted(kind, &world) {
                        agent.take(change, &place);
                    }
                }
                1 | 2 => {
                    let Some(name) = world.keys().nth(chance.below(10)).cloned() else { continue };
                    let object = world.remove(&name).unwrap();
                    agent.take(deleted(applied(&object)), &place);
                }
                other => {
                    let object = if other < 6 { service(&mut chance) } else { slice(&mut chance) };
                    agent.take(applied(&object), &place);
                    world.insert(name(&object), object);
                }
            }
            if chance.one_in(3) || step + 1 == STEPS {
                kernel.follow(&agent);
                assert_eq!(seen(&kernel), told(&world), "history {seed}, step {step}");
                let marked: BTreeSet<IpAddr> = kernel
                    .services
                    .keys()
                    .filter(|key| key.is_address_mark())
                    .map(|key| key.address().into())
                    .collect();
                let addresses: BTreeSet<IpAddr> = told(&world).into_keys().map(|(ip, ..)| ip).collect();
                let cluster_ips =
                    |ip: &&IpAddr| ip.to_string().starts_with("10.96.") || ip.to_string().starts_with("fd00:10:96:");
                assert_eq!(marked, addresses.iter().filter(cluster_ips).copied().collect(), "history {seed}");
            }
        }
        chunked += kernel.services.values().filter(|value| value.is_chunked()).count();
        for object in world.values() {
            agent.take(deleted(applied(object)), &place);
        }
        kernel.follow(&agent);
        assert!(kernel.services.is_empty() && kernel.chunks.is_empty(), "history {seed} leaves something behind");
    }
    assert!(chunked > 0, "no history had a frontend with many backends");
}

/// A whole list of one kind, as a watch that starts anew brings it.
fn relisted(kind: &str, world: &BTreeMap<Name, Value>) -> Vec<Change> {
    let is_service = kind == "Service";
    let mut changes = vec![if is_service { Change::Service(Event::Init) } else { Change::Slice(Event::Init) }];
    for object in world.iter().filter(|(name, _)| name[0] == kind).map(|(_, object)| object) {
        changes.push(match applied(object) {
            Change::Service(Event::Apply(object)) => Change::Service(Event::InitApply(object)),
            Change::Slice(Event::Apply(object)) => Change::Slice(Event::InitApply(object)),
            other @ (Change::Service(_) | Change::Slice(_) | Change::Node(_) | Change::ServiceRange(_)) => other,
        });
    }
    changes.push(if is_service { Change::Service(Event::InitDone) } else { Change::Slice(Event::InitDone) });
    changes
}
