//! Network policies on the real programs: who reaches whom, from the first packet to the last. Cases are named after those
//! of Kubernetes' own test of network policies where it has them.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use serde_json::{Value, json};
use skep_proxy::{
    datapath::typed_maps::sweep,
    objects::ObjectName,
    policy::{self, Namespace, Policy, Publisher},
};
use skep_proxy_ebpf::{
    maps::{pod::PodKey, policy_namespace::PolicyNamespaceKey},
    protocol::Protocol,
    verdict::DropReason,
};

use crate::{
    fixture::{Node, OUTSIDE_V4, OUTSIDE_V6, PORT, Pod, inside},
    may_run,
    pods::Cluster,
};

/// How long a packet that is let through may take; one that is not never comes.
const LIMIT: Duration = Duration::from_millis(400);

/// Two namespaces: `x` with pods a and b on the first node, `y` with the far pod on the second.
struct Policed {
    cluster: Cluster,
    pods: HashMap<ObjectName, policy::Pod>,
    namespaces: HashMap<ObjectName, Namespace>,
    policies: HashMap<ObjectName, Policy>,
}

impl Policed {
    fn new() -> Self {
        let cluster = Cluster::new();
        let mut policed = Self { cluster, pods: HashMap::new(), namespaces: HashMap::new(), policies: HashMap::new() };
        for name in ["x", "y"] {
            let object = json!({"metadata": {"name": name, "labels": {"ns": name}}});
            let namespace = Namespace::from_api(&serde_json::from_value(object).unwrap());
            policed.namespaces.insert(ObjectName::new("", name), namespace);
        }
        let Cluster { a, b, far, .. } = &policed.cluster;
        let all = [("x", "a", "1", a), ("x", "b", "1", b), ("y", "far", "2", far)]
            .map(|(namespace, name, node, pod)| (namespace, name, node, [pod.v4.to_string(), pod.v6.to_string()]));
        for (namespace, name, node, [v4, v6]) in all {
            let object = json!({
                "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name}},
                "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "serve", "containerPort": PORT}]}]},
                "status": {"podIPs": [{"ip": v4}, {"ip": v6}]},
            });
            let pod = policy::Pod::from_api(&serde_json::from_value(object).unwrap()).unwrap();
            policed.pods.insert(ObjectName::new(namespace, name), pod);
        }
        policed
    }

    /// Makes these the only policies, and both nodes enforce them.
    fn apply(&mut self, policies: &[(&str, Value)]) {
        self.policies.clear();
        for (number, (namespace, spec)) in policies.iter().enumerate() {
            let policy = Policy::from_api(&serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap());
            self.policies.insert(ObjectName::new(namespace, &format!("p{number}")), policy.unwrap());
        }
        for node in &self.cluster.nodes {
            self.publish(node);
        }
    }

    /// As the agent does.
    fn publish(&self, node: &Node) {
        let policies = self.policies.iter().collect();
        let cluster = policy::Cluster { policies: &policies, pods: &self.pods, namespaces: &self.namespaces };
        let tables = policy::tables(&cluster, &node.number.to_string());
        Publisher::restore(&node.maps).unwrap().publish(tables, &node.maps).unwrap();
        let generation = if policies.is_empty() { 0 } else { sweep::monotonic_ns().unwrap() };
        node.maps.policy_generation.put(&0, &generation).unwrap();
    }

    /// A Service of the first node.
    fn serves(&self, frontend: SocketAddr, backend: SocketAddr) {
        for (number, protocol) in [(1, Protocol::Tcp), (2, Protocol::Udp)] {
            self.cluster.nodes[0].service(number, frontend, protocol, &[backend]);
        }
    }

    fn answers(&self, from: &str, to: SocketAddr) {
        assert_eq!(reached(from, to), [true, true], "{from} to {to}; {}", self.cluster.drops());
    }

    fn is_silent(&self, from: &str, to: SocketAddr) {
        assert_eq!(reached(from, to), [false, false], "{from} to {to}; {}", self.cluster.drops());
    }
}

/// Whether a server answers by TCP and by UDP.
fn reached(from: &str, to: SocketAddr) -> [bool; 2] {
    inside(from, || {
        let tcp = TcpStream::connect_timeout(&to, LIMIT).is_ok();
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.send_to(b"hello", to).unwrap();
        [tcp, socket.recv_from(&mut [0; 64]).is_ok()]
    })
}

fn both(pod: &Pod) -> [SocketAddr; 2] {
    [IpAddr::from(pod.v4), pod.v6.into()].map(|ip| SocketAddr::new(ip, PORT))
}

fn of_node(node: &Node) -> [SocketAddr; 2] {
    [IpAddr::from(node.v4), node.v6.into()].map(|ip| SocketAddr::new(ip, PORT))
}

fn outside() -> [SocketAddr; 2] {
    [IpAddr::from(OUTSIDE_V4), OUTSIDE_V6.into()].map(|ip| SocketAddr::new(ip, PORT))
}

fn pod_is(name: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"pod": name}}})
}

/// Rules for pod b for what comes to it.
fn to_b(rules: &Value) -> (&'static str, Value) {
    ("x", json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Ingress"], "ingress": rules}))
}

/// Rules for pod a for what it sends.
fn from_a(rules: &Value) -> (&'static str, Value) {
    ("x", json!({"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": ["Egress"], "egress": rules}))
}

#[test]
fn default_deny_of_ingress() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    policed.apply(&[("x", json!({"podSelector": {}}))]);
    let Cluster { nodes: [one, two], a, b, far, .. } = &policed.cluster;
    let (a, b_ns, far_ns) = (&a.namespace.0, &b.namespace.0, &far.namespace.0);
    for to in both(b) {
        policed.is_silent(a, to);
        policed.is_silent(far_ns, to);
        // Another node is not the pod's own.
        policed.is_silent(&two.namespace.0, to);
        // The kubelet's probes.
        policed.answers(&one.namespace.0, to);
    }
    // What isolated pods ask themselves is answered.
    for to in both(far).into_iter().chain(outside()).chain(of_node(one)).chain(of_node(two)) {
        policed.answers(b_ns, to);
    }
    // A pod cannot keep itself out.
    inside(b_ns, || assert!(TcpStream::connect_timeout(&both(b)[0], LIMIT).is_ok()));
    assert!(one.maps.drop_count(DropReason::PolicyIngress).unwrap().packets > 0);
    policed.apply(&[]);
    let b = both(&policed.cluster.b);
    b.into_iter().for_each(|to| policed.answers(&policed.cluster.a.namespace.0, to));
}

#[test]
fn default_deny_of_egress() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    policed.apply(&[("x", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    let Cluster { nodes: [one, two], a, b, far, .. } = &policed.cluster;
    for to in both(b).into_iter().chain(both(far)).chain(outside()).chain(of_node(two)) {
        policed.is_silent(&a.namespace.0, to);
    }
    of_node(one).into_iter().for_each(|to| policed.answers(&a.namespace.0, to));
    // They answer whoever asks them.
    for to in both(a) {
        policed.answers(&far.namespace.0, to);
        policed.answers(&one.namespace.0, to);
    }
    assert!(one.maps.drop_count(DropReason::PolicyEgress).unwrap().packets > 0);
}

#[test]
fn pods_by_labels_and_namespaces() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")]}]))]);
    for to in both(&policed.cluster.b) {
        policed.answers(&policed.cluster.a.namespace.0, to);
        policed.is_silent(&policed.cluster.far.namespace.0, to);
    }
    // Policies are added up.
    let y = json!({"namespaceSelector": {"matchLabels": {"ns": "y"}}});
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")]}])), to_b(&json!([{"from": [y]}]))]);
    for to in both(&policed.cluster.b) {
        policed.answers(&policed.cluster.a.namespace.0, to);
        policed.answers(&policed.cluster.far.namespace.0, to);
    }
    // In the policy's own namespace there is no such pod.
    policed.apply(&[to_b(&json!([{"from": [pod_is("far")]}]))]);
    for to in both(&policed.cluster.b) {
        policed.is_silent(&policed.cluster.far.namespace.0, to);
    }
}

#[test]
fn blocks_of_addresses_with_holes() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    let block = |cidr: &str, except: &[&str]| json!({"ipBlock": {"cidr": cidr, "except": except}});
    let world = json!([{"to": [block("0.0.0.0/0", &["10.244.2.0/24"]), block("::/0", &["fd00:10:244:2::/64"])]}]);
    policed.apply(&[from_a(&world)]);
    let from = &policed.cluster.a.namespace.0;
    for to in both(&policed.cluster.b).into_iter().chain(outside()) {
        policed.answers(from, to);
    }
    for to in both(&policed.cluster.far) {
        policed.is_silent(from, to);
    }
}

#[test]
fn ports_by_number_range_and_name() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    let (from, [to, _]) = (policed.cluster.a.namespace.0.clone(), both(&policed.cluster.b));
    for (ports, wanted) in [
        (json!([{"port": PORT}]), [true, false]),
        (json!([{"port": PORT, "protocol": "UDP"}]), [false, true]),
        (json!([{"port": 81}]), [false, false]),
        (json!([{"port": 8000, "endPort": 8100}]), [true, false]),
        (json!([{"port": 8081, "endPort": 9000}]), [false, false]),
        (json!([{"port": "serve"}]), [true, false]),
        (json!([{"port": "other"}]), [false, false]),
        (json!([{"protocol": "TCP"}, {"protocol": "UDP"}]), [true, true]),
    ] {
        policed.apply(&[to_b(&json!([{"ports": ports}]))]);
        assert_eq!(reached(&from, to), wanted, "to b: {ports}; {}", policed.cluster.drops());
        policed.apply(&[from_a(&json!([{"ports": ports}]))]);
        assert_eq!(reached(&from, to), wanted, "from a: {ports}; {}", policed.cluster.drops());
    }
    // A rule for ports says nothing of pings, one for everything does.
    let ping = || inside(&from, || crate::ping::ping_within(to.ip(), 8, LIMIT).unwrap_or(false));
    policed.apply(&[to_b(&json!([{"ports": [{"port": PORT}]}]))]);
    assert!(!ping());
    policed.apply(&[to_b(&json!([{}]))]);
    assert!(ping());
}

#[test]
fn services_are_judged_by_their_backends() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    let frontend: SocketAddr = "10.96.0.1:80".parse().unwrap();
    let from = policed.cluster.a.namespace.0.clone();
    let (near, far) = (both(&policed.cluster.b)[0], both(&policed.cluster.far)[0]);
    let y = json!({"namespaceSelector": {"matchLabels": {"ns": "y"}}});
    // The client's answers come back although it is isolated itself.
    let shut = ("x", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    policed.apply(&[shut, from_a(&json!([{"to": [y], "ports": [{"port": PORT}, {"port": PORT, "protocol": "UDP"}]}]))]);
    policed.serves(frontend, far);
    policed.answers(&from, frontend);
    policed.serves(frontend, near);
    policed.is_silent(&from, frontend);
}

#[test]
fn what_is_no_longer_allowed_ends_with_the_next_packet() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    let (from, [to, _]) = (policed.cluster.a.namespace.0.clone(), both(&policed.cluster.b));
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")]}]))]);
    let mut stream = inside(&from, || TcpStream::connect_timeout(&to, LIMIT).unwrap());
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut hears = |text: &str, limit| {
        reader.get_ref().set_read_timeout(Some(limit)).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).is_ok() && line.ends_with(text)
    };
    // The greeting.
    assert!(hears("\n", LIMIT));
    stream.write_all(b"one\n").unwrap();
    assert!(hears("one\n", LIMIT));
    // Other rules that still allow it do not disturb it.
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")], "ports": [{"port": PORT}]}]))]);
    stream.write_all(b"two\n").unwrap();
    assert!(hears("two\n", LIMIT));
    policed.apply(&[to_b(&json!([]))]);
    stream.write_all(b"three\n").unwrap();
    assert!(!hears("three\n", LIMIT));
    // Allowed again, it goes on with the next attempt of TCP.
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")]}]))]);
    assert!(hears("three\n", LIMIT * 20));
}

#[test]
fn a_young_pod_is_cut_off_until_its_rules_are_known() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    let b = ObjectName::new("x", "b");
    let known = policed.pods.remove(&b).unwrap();
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")]}]))]);
    let one = &policed.cluster.nodes[0];
    assert!(one.maps.policy_namespaces.get(&PolicyNamespaceKey::new("x")).unwrap().is_some());
    assert!(one.maps.policy_namespaces.get(&PolicyNamespaceKey::new("y")).unwrap().is_none());
    // As the CNI plugin does in such a namespace.
    for address in &known.addresses {
        let key = PodKey::new((*address).into());
        let value = one.maps.pods.get(&key).unwrap().unwrap();
        one.maps.pods.put(&key, &value.awaiting_policy()).unwrap();
    }
    let (from, to) = (policed.cluster.a.namespace.0.clone(), both(&policed.cluster.b)[0]);
    policed.is_silent(&from, to);
    assert!(one.maps.drop_count(DropReason::PolicyPending).unwrap().packets > 0);
    policed.pods.insert(b, known);
    policed.publish(&policed.cluster.nodes[0]);
    policed.answers(&from, to);
}

#[test]
fn hits_are_counted() {
    if !may_run() {
        return;
    }
    let mut policed = Policed::new();
    policed.apply(&[to_b(&json!([{"from": [pod_is("a")]}]))]);
    let (a, far, to) = (&policed.cluster.a, &policed.cluster.far, both(&policed.cluster.b)[0]);
    policed.answers(&a.namespace.0, to);
    policed.is_silent(&far.namespace.0, to);
    let mut hits: Vec<u64> =
        policed.cluster.nodes[0].maps.policy_counts.dump().unwrap().into_iter().map(|(_, count)| count.hits).collect();
    hits.sort_unstable();
    // Two flows were allowed; of the denied ones every packet counts.
    assert!(hits.len() == 2 && hits[0] == 2 && hits[1] >= 2, "{hits:?}");
}
