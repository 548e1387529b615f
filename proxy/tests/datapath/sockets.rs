//! Socket load balancing: processes of the node reach a server of the node by its Service.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use skep_proxy_ebpf::{protocol::Protocol, verdict::DropReason};

use crate::{
    client::Call,
    fixture::{Network, Node, PORT, serve},
    may_run,
};

const V4: &str = "10.96.0.10:80";
const V6: &str = "[fd00:10:96::10]:80";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A node with a server and a Service of both families and protocols in front of it.
fn node() -> (Network, Node) {
    let network = Network::new();
    let node = Node::new(&network, 1);
    serve(&node.namespace.0, "server");
    for (frontend, backend) in [(V4, IpAddr::from(node.v4)), (V6, node.v6.into())] {
        for (id, protocol) in [(1, Protocol::Tcp), (2, Protocol::Udp)] {
            node.service(id, address(frontend), protocol, &[SocketAddr::new(backend, PORT)]);
        }
    }
    (network, node)
}

#[test]
fn clients_see_the_service_they_dialled() {
    if !may_run() {
        return;
    }
    let (_network, node) = node();
    let ns = &node.namespace.0;
    for (frontend, own) in [(V4, node.v4.to_string()), (V6, node.v6.to_string())] {
        let frontend = address(frontend);
        assert_eq!(Call::Tcp(frontend).by_socket(&node, ns), format!("server {own} peer={frontend}"));
        assert_eq!(Call::UdpConnect(frontend).by_socket(&node, ns), format!("server {own} peer={frontend}"));
        assert_eq!(Call::UdpSendTo(frontend).by_socket(&node, ns), format!("server {own} from={frontend}"));
    }
    // A socket of both families dials IPv4.
    let mapped = SocketAddr::new("10.96.0.10".parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().into(), 80);
    assert_eq!(Call::Tcp(mapped).by_socket(&node, ns), format!("server {} peer={mapped}", node.v4));
}

#[test]
fn nothing_to_serve_is_refused_at_once() {
    if !may_run() {
        return;
    }
    let (_network, node) = node();
    let ns = &node.namespace.0;
    node.service(3, address("10.96.0.11:80"), Protocol::Tcp, &[]);
    node.service(3, address("[fd00:10:96::11]:80"), Protocol::Udp, &[]);
    let before = Instant::now();
    for call in [
        Call::Tcp(address("10.96.0.11:80")),
        Call::UdpConnect(address("[fd00:10:96::11]:80")),
        Call::UdpSendTo(address("[fd00:10:96::11]:80")),
        // A port which the Service does not define.
        Call::Tcp(address("10.96.0.10:81")),
    ] {
        assert_eq!(call.by_socket(&node, ns), "error ConnectionRefused", "{call:?}");
    }
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!(node.maps.drop_count(DropReason::NoBackend).unwrap().packets, 3);
    assert_eq!(node.maps.drop_count(DropReason::NoSuchPort).unwrap().packets, 1);
    assert_eq!(node.live(1, SocketAddr::new(node.v4.into(), PORT)), 0);
}

#[test]
fn connections_are_counted_while_they_live() {
    if !may_run() {
        return;
    }
    let (_network, node) = node();
    let backend = SocketAddr::new(node.v4.into(), PORT);
    for _ in 0..3 {
        Call::Tcp(address(V4)).by_socket(&node, &node.namespace.0);
    }
    assert_eq!(node.live(1, backend), 0);
    let key = skep_proxy_ebpf::maps::backend_count::BackendCountKey::new(1, node.v4.into(), PORT.to_be());
    assert_eq!(node.maps.backend_counts.get(&key).unwrap().unwrap().opened, 3);
}

#[test]
fn many_backends_are_all_used() {
    if !may_run() {
        return;
    }
    let (_network, node) = node();
    let backends: Vec<_> = (0..40).map(|_| SocketAddr::new(node.v4.into(), PORT)).collect();
    node.service(4, address("10.96.0.12:80"), Protocol::Tcp, &backends);
    for _ in 0..10 {
        let answer = Call::Tcp(address("10.96.0.12:80")).by_socket(&node, &node.namespace.0);
        assert!(answer.starts_with("server"), "{answer}");
    }
}

#[test]
fn what_is_no_service_is_left_alone() {
    if !may_run() {
        return;
    }
    let (_network, node) = node();
    let direct = SocketAddr::new(node.v4.into(), PORT);
    let answer = Call::Tcp(direct).by_socket(&node, &node.namespace.0);
    assert_eq!(answer, format!("server {} peer={direct}", node.v4));
    let local = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), PORT);
    let answer = Call::UdpSendTo(local).by_socket(&node, &node.namespace.0);
    assert_eq!(answer, format!("server ::1 from={local}"));
}
