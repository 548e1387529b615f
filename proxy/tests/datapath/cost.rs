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
    frame, may_run,
    nothing::Nothing,
    packets,
};

/// The verifier gives up at a million; a program that comes near cannot grow any more.
const MOST_INSTRUCTIONS: u32 = 100_000;
/// What each program cost when it was last changed on purpose: `SKEP_BLESS=1` writes it anew.
const RECORDED: &str = include_str!("verifier.txt");

#[test]
fn the_verifier_has_little_to_do() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    let found: Vec<(&str, u32)> = bench.datapath.verified_instructions().collect();
    if std::env::var_os("SKEP_BLESS").is_some() {
        let lines: String = found.iter().map(|(name, instructions)| format!("{name} {instructions}\n")).collect();
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/datapath/verifier.txt"), lines).unwrap();
        return;
    }
    let recorded: std::collections::HashMap<&str, u32> = RECORDED
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, n)| (name, n.parse().unwrap()))
        .collect();
    assert_eq!(recorded.len(), found.len(), "programs came or went: run with SKEP_BLESS=1");
    for (name, instructions) in found {
        println!("verifier {name} {instructions} instructions, recorded {}", recorded[name]);
        assert!(instructions < MOST_INSTRUCTIONS, "{name}: {instructions}");
        // A tenth, and some for the smallest ones, is what compilers and kernels differ by.
        let most = recorded[name] + recorded[name] / 10 + 20;
        assert!(instructions <= most, "{name} jumped from {} to {instructions}", recorded[name]);
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

/// Connects of UDP sockets, which send nothing: what differs is the hook. A program that does nothing is attached beside
/// ours, so that what the statistics themselves cost is seen in the same run.
#[test]
fn nanoseconds_per_connect() {
    if let Ok(work) = std::env::var("SKEP_TEST_CONNECT") {
        let (to, is_fresh) = work.strip_prefix("fresh ").map_or((work.as_str(), false), |to| (to, true));
        println!("answer: {}", connects(to.parse().unwrap(), is_fresh).as_nanos());
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
    let nothing = Nothing::attach(&node);
    let statistics = Statistics::enable().unwrap();
    let used = || statistics.of(&node.pins, "socket_connect4").unwrap();
    for (what, is_fresh) in [("the same socket again", false), ("a new socket each time", true)] {
        let outside = measure(&node, backend, false, is_fresh);
        let direct = measure(&node, backend, true, is_fresh);
        let (before, nothing_before) = (used(), nothing.used());
        let service = measure(&node, frontend, true, is_fresh);
        let mean = used().mean_since(before).unwrap().as_nanos();
        let empty = nothing.used().mean_since(nothing_before).unwrap().as_nanos();
        println!("{what}: connect without hooks {outside} ns, direct {direct} ns, by ClusterIP {service} ns");
        println!(
            "{what}: connect hook {mean} ns for a Service, mean; of it {empty} ns are a program that does nothing"
        );
    }
}

fn measure(node: &Node, to: SocketAddr, in_cgroup: bool, is_fresh: bool) -> u64 {
    let test = "cost::nanoseconds_per_connect";
    let cgroup = in_cgroup.then_some(node.cgroup.as_path());
    let work = if is_fresh { format!("fresh {to}") } else { to.to_string() };
    let answers = (0..5).map(|_| {
        crate::client::process_in(cgroup, &node.namespace.0, test, "SKEP_TEST_CONNECT", &work).parse::<u64>().unwrap()
    });
    answers.min().unwrap()
}

/// Mean time of a connect, of one socket again and again or of a socket of its own each time.
fn connects(to: SocketAddr, is_fresh: bool) -> Duration {
    const TIMES: u32 = 20_000;
    let bind = || UdpSocket::bind("0.0.0.0:0").unwrap();
    let one = bind();
    let mut spent = Duration::ZERO;
    for _ in 0..TIMES {
        let new = is_fresh.then(bind);
        let start = Instant::now();
        new.as_ref().unwrap_or(&one).connect(to).unwrap();
        spent += start.elapsed();
    }
    spent / TIMES
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
