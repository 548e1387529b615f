//! The pod network: pods of one node, of two nodes, nodes themselves, Services on the packet path, and the world.

use std::net::{IpAddr, SocketAddr};

use skep_proxy_ebpf::{protocol::Protocol, verdict::DropReason};

use crate::{
    client::Call,
    fixture::{Network, Node, OUTSIDE_V4, OUTSIDE_V6, PORT, Pod, inside, serve},
    may_run,
};

fn at(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), PORT)
}

/// Two nodes that know each other; two pods on the first, one on the second; servers in all of them and outside.
pub(crate) struct Cluster {
    network: Network,
    pub(crate) nodes: [Node; 2],
    pub(crate) a: Pod,
    pub(crate) b: Pod,
    pub(crate) far: Pod,
}

/// Which family nodes reach each other by.
#[derive(Clone, Copy)]
enum Underlay {
    V4,
    V6,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::over(Underlay::V4)
    }

    fn over(underlay: Underlay) -> Self {
        let network = Network::new();
        let nodes = [Node::new(&network, 1), Node::new(&network, 2)];
        let end = |node: &Node| match underlay {
            Underlay::V4 => IpAddr::from(node.v4),
            Underlay::V6 => node.v6.into(),
        };
        nodes[0].knows(&nodes[1], end(&nodes[1]));
        nodes[1].knows(&nodes[0], end(&nodes[0]));
        let (a, b, far) = (nodes[0].pod(10), nodes[0].pod(11), nodes[1].pod(20));
        for (pod, name) in [(&a, "a"), (&b, "b"), (&far, "far")] {
            serve(&pod.namespace.0, name);
        }
        serve(&nodes[0].namespace.0, "node1");
        serve(&nodes[1].namespace.0, "node2");
        serve(&network.outside.0, "outside");
        Self { network, nodes, a, b, far }
    }

    /// Drops of every reason on both nodes, for messages.
    pub(crate) fn drops(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            for reason in DropReason::ALL {
                let packets = node.maps.drop_count(reason).unwrap().packets;
                if packets > 0 {
                    text += &format!("node{} {}={packets} ", node.number, reason.label());
                }
            }
        }
        text
    }

    /// Every kind of call from a namespace to a server, whose answer shows `name` and the client's address.
    fn reaches(&self, from: &str, to: SocketAddr, name: &str, seen: impl Into<IpAddr>) {
        let seen = seen.into();
        let answer = Call::Tcp(to).by_packets(from);
        assert_eq!(answer, format!("{name} {seen} peer={to}"), "tcp to {to}; {}", self.drops());
        let answer = Call::UdpSendTo(to).by_packets(from);
        assert_eq!(answer, format!("{name} {seen} from={to}"), "udp to {to}; {}", self.drops());
        assert_eq!(Call::Stream(to).by_packets(from), "ok", "stream to {to}; {}", self.drops());
    }
}

/// Pings with the largest packet that fits, which must not be fragmented.
fn ping(namespace: &str, to: IpAddr, mtu: usize) {
    let payload = mtu - if to.is_ipv4() { 28 } else { 48 };
    let answered = inside(namespace, || crate::ping::ping(to, payload));
    assert!(answered.unwrap(), "ping {to} with {payload} bytes");
}

#[test]
fn pods_of_one_node() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let (a, b) = (&cluster.a, &cluster.b);
    cluster.reaches(&a.namespace.0, at(b.v4), "b", a.v4);
    cluster.reaches(&a.namespace.0, at(b.v6), "b", a.v6);
    cluster.reaches(&b.namespace.0, at(a.v4), "a", b.v4);
    ping(&a.namespace.0, b.v4.into(), 1430);
    ping(&a.namespace.0, b.v6.into(), 1430);
}

#[test]
fn pods_of_two_nodes() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let (a, far) = (&cluster.a, &cluster.far);
    cluster.reaches(&a.namespace.0, at(far.v4), "far", a.v4);
    cluster.reaches(&a.namespace.0, at(far.v6), "far", a.v6);
    cluster.reaches(&far.namespace.0, at(a.v4), "a", far.v4);
    ping(&a.namespace.0, far.v4.into(), 1430);
    ping(&a.namespace.0, far.v6.into(), 1430);
}

#[test]
fn pods_of_two_nodes_over_ipv6() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::over(Underlay::V6);
    let (a, far) = (&cluster.a, &cluster.far);
    cluster.reaches(&a.namespace.0, at(far.v4), "far", a.v4);
    cluster.reaches(&a.namespace.0, at(far.v6), "far", a.v6);
    cluster.reaches(&far.namespace.0, at(a.v6), "a", far.v6);
    ping(&a.namespace.0, far.v4.into(), 1430);
    ping(&a.namespace.0, far.v6.into(), 1430);
    // Node to pod and back, by a Service too.
    let (one, two) = (&cluster.nodes[0], &cluster.nodes[1]);
    cluster.reaches(&one.namespace.0, at(far.v4), "far", one.v4);
    cluster.reaches(&a.namespace.0, at(two.v6), "node2", a.v6);
    let frontend: SocketAddr = "10.96.0.1:80".parse().unwrap();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        one.service(1, frontend, protocol, &[at(far.v4)]);
    }
    cluster.reaches(&a.namespace.0, frontend, "far", a.v4);
}

#[test]
fn nodes_and_pods() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let [one, two] = &cluster.nodes;
    let (a, far) = (&cluster.a, &cluster.far);
    for (from, own4, own6, to4, to6, name) in [
        (&one.namespace.0, one.v4, one.v6, a.v4, a.v6, "a"),
        (&one.namespace.0, one.v4, one.v6, far.v4, far.v6, "far"),
        (&a.namespace.0, a.v4, a.v6, one.v4, one.v6, "node1"),
        (&a.namespace.0, a.v4, a.v6, two.v4, two.v6, "node2"),
    ] {
        cluster.reaches(from, at(to4), name, own4);
        cluster.reaches(from, at(to6), name, own6);
    }
}

#[test]
fn the_world_sees_the_node() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let from = &cluster.a.namespace.0;
    cluster.reaches(from, at(OUTSIDE_V4), "outside", one.v4);
    cluster.reaches(from, at(OUTSIDE_V6), "outside", one.v6);
    ping(from, OUTSIDE_V4.into(), 1430);
    ping(from, OUTSIDE_V6.into(), 1430);
    // An error about a masqueraded flow finds its pod.
    let closed = SocketAddr::new(OUTSIDE_V4.into(), 9);
    assert_eq!(Call::UdpConnect(closed).by_packets(from), "error ConnectionRefused");
    assert_eq!(Call::Tcp(closed).by_packets(from), "error ConnectionRefused");
    drop(cluster.network);
}

#[test]
fn services_by_packets_and_by_sockets() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let (a, b, far) = (&cluster.a, &cluster.b, &cluster.far);
    let from = &a.namespace.0;
    let own: [(IpAddr, &str, &str); 2] = [(a.v4.into(), "10.96.0.1:80", "b"), (a.v6.into(), "[fd00:10:96::1]:80", "b")];
    for (seen, frontend, _) in own {
        let frontend: SocketAddr = frontend.parse().unwrap();
        for (id, backend, name) in [
            (1, b.like(seen), "b"),
            (2, far.like(seen), "far"),
            (3, if seen.is_ipv4() { one.v4.into() } else { one.v6.into() }, "node1"),
        ] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                one.service(id, frontend, protocol, &[at(backend)]);
            }
            cluster.reaches(from, frontend, name, seen);
            let answer = Call::Tcp(frontend).by_socket(one, from);
            assert_eq!(answer, format!("{name} {seen} peer={frontend}"), "{}", cluster.drops());
            let answer = Call::UdpSendTo(frontend).by_socket(one, from);
            assert_eq!(answer, format!("{name} {seen} from={frontend}"), "{}", cluster.drops());
        }
        // Itself: by packets the pod sees the Service's address, by sockets its own.
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            one.service(4, frontend, protocol, &[at(seen)]);
        }
        cluster.reaches(from, frontend, "a", frontend.ip());
        let answer = Call::Tcp(frontend).by_socket(one, from);
        assert_eq!(answer, format!("a {seen} peer={frontend}"), "{}", cluster.drops());
        // Outside of the cluster, through Service and masquerade at once.
        let (world, node): (IpAddr, IpAddr) =
            if seen.is_ipv4() { (OUTSIDE_V4.into(), one.v4.into()) } else { (OUTSIDE_V6.into(), one.v6.into()) };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            one.service(5, frontend, protocol, &[at(world)]);
        }
        cluster.reaches(from, frontend, "outside", node);
    }
}

#[test]
fn refusals_by_packets() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let from = &cluster.a.namespace.0;
    for frontend in ["10.96.0.2:80", "[fd00:10:96::2]:80"] {
        let frontend: SocketAddr = frontend.parse().unwrap();
        one.service(1, frontend, Protocol::Tcp, &[]);
        one.service(2, frontend, Protocol::Udp, &[]);
        for call in [Call::Tcp(frontend), Call::UdpConnect(frontend), Call::Tcp(SocketAddr::new(frontend.ip(), 81))] {
            let before = std::time::Instant::now();
            assert_eq!(call.by_packets(from), "error ConnectionRefused", "{call:?} {}", cluster.drops());
            assert!(before.elapsed() < std::time::Duration::from_millis(500));
        }
    }
}

#[test]
fn an_address_of_another_is_dropped() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let (one, from) = (&cluster.nodes[0], &cluster.a.namespace.0);
    crate::fixture::ip(&format!("-n {from} addr add 10.244.1.99/32 dev eth0"));
    inside(from, || {
        let socket = std::net::UdpSocket::bind("10.244.1.99:0").unwrap();
        socket.send_to(b"hello", at(cluster.b.v4)).unwrap();
    });
    assert_eq!(one.maps.drop_count(DropReason::Spoofed).unwrap().packets, 1);
}

#[test]
fn a_new_program_takes_over_without_a_gap() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let next = skep_proxy::datapath::Datapath::load(&one.pins).unwrap();
    let links = || std::fs::read_dir(one.pins.links()).unwrap().count();
    let before = links();
    next.attach_cgroup(std::os::fd::AsFd::as_fd(&std::fs::File::open(&one.cgroup).unwrap())).unwrap();
    let updated = next.update_pods().unwrap();
    assert_eq!((updated.updated, updated.gone), (8, 0));
    assert_eq!(links(), before);
    cluster.reaches(&cluster.a.namespace.0, at(cluster.far.v4), "far", cluster.a.v4);
    // A pod that is gone is forgotten.
    crate::fixture::ip(&format!("-n {} link del pod11", one.namespace.0));
    let updated = next.update_pods().unwrap();
    assert_eq!((updated.updated, updated.gone), (6, 2));
}
