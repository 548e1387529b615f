//! What the programs cost: the verifier's work per program, nanoseconds per packet, nanoseconds per connect. Printed for
//! `cargo xtask bench`; only the verifier's work is a limit, because times depend on the machine.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use skep_proxy::datapath::statistics::Statistics;
use skep_proxy_ebpf::pins::program;

use crate::{
    fixture::{Network, Node, serve},
    frame, may_run, packets,
};

/// The verifier gives up at a million; a program that comes near cannot grow any more.
const MOST_INSTRUCTIONS: u32 = 100_000;

#[test]
fn the_verifier_has_little_to_do() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    for (name, instructions) in bench.datapath.verified_instructions() {
        println!("verifier {name} {instructions} instructions");
        assert!(instructions < MOST_INSTRUCTIONS, "{name}: {instructions}");
    }
}

#[test]
fn nanoseconds_per_packet() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    for (name, from, to) in [
        ("pod to pod", "10.244.1.10:40000", "10.244.1.11:8080"),
        ("pod to pod ipv6", "[fd00:10:244:1::a]:40000", "[fd00:10:244:1::b]:8080"),
        ("pod to world", "10.244.1.10:40000", "198.51.100.1:443"),
    ] {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let packet = frame::ethernet(&frame::tcp(from, to, 16, b""));
        let time = bench.datapath.time(program::POD_EGRESS, &packet, 100_000).unwrap();
        println!("pod_egress {name} {} ns", time.as_nanos());
    }
}

/// Connects of a UDP socket, which send nothing: what differs is the hook.
#[test]
fn nanoseconds_per_connect() {
    if let Ok(to) = std::env::var("SKEP_TEST_CONNECT") {
        println!("answer: {}", connects(to.parse().unwrap()).as_nanos());
        return;
    }
    if !may_run() {
        return;
    }
    let network = Network::new();
    let node = Node::new(&network, 1);
    serve(&node.namespace.0, "server");
    let backend = SocketAddr::new(node.v4.into(), 8080);
    let frontend: SocketAddr = "10.96.0.10:80".parse().unwrap();
    node.service(1, frontend, skep_proxy_ebpf::protocol::Protocol::Udp, &[backend]);
    let outside = measure(&node, backend, false);
    let direct = measure(&node, backend, true);
    let service = measure(&node, frontend, true);
    println!("connect without hooks {outside} ns, direct {direct} ns, by ClusterIP {service} ns");
    let statistics = Statistics::enable().unwrap();
    let before = statistics.of(&node.pins, "socket_connect4").unwrap();
    measure(&node, frontend, true);
    let mean = statistics.of(&node.pins, "socket_connect4").unwrap().mean_since(before).unwrap();
    println!("connect hook {} ns for a Service, mean", mean.as_nanos());
}

fn measure(node: &Node, to: SocketAddr, in_cgroup: bool) -> u64 {
    let test = "cost::nanoseconds_per_connect";
    let cgroup = in_cgroup.then_some(node);
    let answers = (0..5).map(|_| {
        crate::client::process_in(cgroup, &node.namespace.0, test, "SKEP_TEST_CONNECT", &to.to_string())
            .parse::<u64>()
            .unwrap()
    });
    answers.min().unwrap()
}

/// Mean time of a connect.
fn connects(to: SocketAddr) -> Duration {
    const TIMES: u32 = 100_000;
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let start = Instant::now();
    for _ in 0..TIMES {
        socket.connect(to).unwrap();
    }
    start.elapsed() / TIMES
}

#[test]
fn milliseconds_to_load() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    let start = Instant::now();
    skep_proxy::datapath::Datapath::load(&bench.pins).unwrap();
    println!("load, verify and pin every program again: {} ms", start.elapsed().as_millis());
}
