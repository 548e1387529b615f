//! Packet in → verdict and bytes out, on the real programs by `BPF_PROG_TEST_RUN`. Every checksum of every packet that comes
//! out is verified by `frame`, which shares no code with the programs.

use std::net::{IpAddr, SocketAddr};

use skep_proxy::datapath::load::Run;
use skep_proxy_ebpf::{
    maps::{
        config::INDEX,
        node::{NodeValue, Reach},
        pod::{PodKey, PodValue},
    },
    pins::program,
    protocol::Protocol,
    verdict::DropReason,
};

use crate::{
    fixture::Bench,
    frame::{self, ethernet, parse},
    may_run,
};

const CONTINUE: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
/// The device test runs come in by.
const LOOPBACK: u32 = 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;
const RST: u8 = 4;

/// Addresses of one family.
struct Family {
    client: SocketAddr,
    backend: SocketAddr,
    frontend: SocketAddr,
    /// A Service without backends.
    empty: SocketAddr,
    world: SocketAddr,
    node: IpAddr,
}

fn families() -> [Family; 2] {
    let family = |client: &str, backend: &str, frontend: &str, empty: &str, world: &str, node: &str| Family {
        client: client.parse().unwrap(),
        backend: backend.parse().unwrap(),
        frontend: frontend.parse().unwrap(),
        empty: empty.parse().unwrap(),
        world: world.parse().unwrap(),
        node: node.parse().unwrap(),
    };
    [
        family(
            "10.244.1.10:40000",
            "10.244.1.11:8080",
            "10.96.0.1:80",
            "10.96.0.2:80",
            "198.51.100.1:443",
            "192.0.2.1",
        ),
        family(
            "[fd00:10:244:1::a]:40000",
            "[fd00:10:244:1::b]:8080",
            "[fd00:10:96::1]:80",
            "[fd00:10:96::2]:80",
            "[2001:db8:ffff::1]:443",
            "2001:db8::1",
        ),
    ]
}

/// Programs and maps with two pods, behind the loopback device, and their Services.
pub(crate) fn bench() -> Bench {
    let bench = Bench::new(1, LOOPBACK, LOOPBACK, "192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
    for family in families() {
        for pod in [family.client, family.backend] {
            let value = PodValue::new(LOOPBACK, [2; 6], [2; 6], 0);
            bench.maps.pods.put(&PodKey::new(pod.ip().into()), &value).unwrap();
        }
        bench.route(family.node, if family.node.is_ipv4() { 32 } else { 128 }, NodeValue::without_tunnel(Reach::Own));
        for (id, protocol) in [(1, Protocol::Tcp), (2, Protocol::Udp)] {
            bench.service(id, family.frontend, protocol, &[family.backend]);
            bench.service(id + 2, family.empty, protocol, &[]);
        }
    }
    bench
}

impl Bench {
    fn pod_sends(&self, packet: &[u8]) -> Run {
        self.datapath.run(program::POD_EGRESS, &ethernet(packet)).unwrap()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.maps.drop_count(reason).unwrap().packets
    }
}

/// The packet in the frame that came out.
fn out(run: &Run) -> frame::Parsed {
    parse(&run.frame[14..], true)
}

#[test]
fn a_service_is_translated_there_and_back() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { client, backend, frontend, .. } in families() {
        let builders: [fn(SocketAddr, SocketAddr) -> Vec<u8>; 2] =
            [|from, to| frame::tcp(from, to, SYN, b"odd"), |from, to| frame::udp(from, to, b"datagram")];
        for build in builders {
            let there = bench.pod_sends(&build(client, frontend));
            assert_eq!((there.answer, out(&there).source, out(&there).destination), (REDIRECT, client, backend));
            let back = bench.pod_sends(&build(backend, client));
            assert_eq!((back.answer, out(&back).source, out(&back).destination), (REDIRECT, frontend, client));
        }
        // What is no answer to a Service is left as it is.
        let other = SocketAddr::new(backend.ip(), 9999);
        let direct = frame::tcp(other, client, ACK, b"");
        assert_eq!(bench.pod_sends(&direct).frame, ethernet(&direct));
    }
}

/// A client uses the port of a finished connection to a Service for one to the backend itself.
#[test]
fn a_finished_flow_makes_way_for_a_direct_one() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { client, backend, frontend, .. } in families() {
        let direct = frame::tcp(client, backend, SYN, b"");
        let answer = frame::tcp(backend, client, SYN | ACK, b"");
        bench.pod_sends(&frame::tcp(client, frontend, SYN, b""));
        bench.pod_sends(&answer);
        // While it lives it keeps its ends.
        bench.pod_sends(&direct);
        assert_eq!(out(&bench.pod_sends(&answer)).source, frontend);
        bench.pod_sends(&frame::tcp(client, frontend, FIN | ACK, b""));
        assert_eq!(bench.pod_sends(&direct).answer, REDIRECT);
        assert_eq!(out(&bench.pod_sends(&answer)).source, backend);
        // And a new one to the Service takes them again.
        bench.pod_sends(&frame::tcp(client, frontend, SYN, b""));
        assert_eq!(out(&bench.pod_sends(&answer)).source, frontend);
    }
}

#[test]
fn a_pod_reaches_itself_by_its_service() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { backend, frontend, .. } in families() {
        let from = SocketAddr::new(backend.ip(), 50000);
        let there = bench.pod_sends(&frame::tcp(from, frontend, SYN, b""));
        let seen = SocketAddr::new(frontend.ip(), 50000);
        assert_eq!((there.answer, out(&there).source, out(&there).destination), (REDIRECT, seen, backend));
        let back = bench.pod_sends(&frame::tcp(backend, seen, SYN | ACK, b""));
        assert_eq!((back.answer, out(&back).source, out(&back).destination), (REDIRECT, frontend, from));
    }
}

#[test]
fn refusals() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { client, frontend, empty, .. } in families() {
        for to in [empty, SocketAddr::new(frontend.ip(), 81)] {
            let refused = bench.pod_sends(&frame::tcp(client, to, SYN, b""));
            let answer = out(&refused);
            assert_eq!((refused.answer, answer.source, answer.destination), (REDIRECT, to, client));
            assert_eq!(answer.payload[13], RST | ACK);
            assert_eq!(&answer.payload[8..12], &[0, 0, 0, 8], "acknowledges the SYN");
            assert_eq!(refused.frame[0..6], [2, 0, 0, 0, 1, 10]);
            // Nobody answers a reset.
            assert_eq!(bench.pod_sends(&frame::tcp(client, to, RST, b"")).answer, DROP);

            let sent = frame::udp(client, to, b"a longer datagram");
            let refused = bench.pod_sends(&sent);
            let answer = out(&refused);
            assert_eq!((refused.answer, answer.source.ip(), answer.destination.ip()), (REDIRECT, to.ip(), client.ip()));
            assert_eq!(&answer.payload[..2], if client.is_ipv4() { &[3, 3] } else { &[1, 4] });
            assert_eq!(answer.payload[8..], sent[..answer.payload.len() - 8], "quotes what was sent");
        }
    }
    assert_eq!(bench.dropped(DropReason::NoBackend), 6);
    assert_eq!(bench.dropped(DropReason::NoSuchPort), 6);
}

#[test]
fn what_may_not_pass() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { client, backend, frontend, .. } in families() {
        let stranger =
            SocketAddr::new(if client.is_ipv4() { [10, 244, 1, 99].into() } else { "fd00::99".parse().unwrap() }, 1);
        assert_eq!(bench.pod_sends(&frame::tcp(stranger, backend, SYN, b"")).answer, DROP);
        let unknown: IpAddr = if client.is_ipv4() { [10, 96, 9, 9].into() } else { "fd00:10:96::99".parse().unwrap() };
        assert_eq!(bench.pod_sends(&frame::tcp(client, SocketAddr::new(unknown, 80), SYN, b"")).answer, DROP);
        // Cut off in the ports.
        let mut cut = frame::tcp(client, frontend, SYN, b"");
        cut.truncate(cut.len() - 18);
        assert_eq!(bench.pod_sends(&cut).answer, DROP);
    }
    let mut short = frame::tcp(families()[0].client, families()[0].backend, SYN, b"");
    short[0] = 0x44;
    assert_eq!(bench.pod_sends(&short).answer, DROP);
    assert_eq!(bench.dropped(DropReason::Spoofed), 2);
    assert_eq!(bench.dropped(DropReason::NoSuchService), 2);
    assert_eq!(bench.dropped(DropReason::Malformed), 3);
}

#[test]
fn the_gateway_answers() {
    if !may_run() {
        return;
    }
    let bench = bench();
    let mut request = vec![0xff; 6];
    request.extend([2, 0, 0, 0, 1, 10, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    request.extend([2, 0, 0, 0, 1, 10, 10, 244, 1, 10, 0, 0, 0, 0, 0, 0, 169, 254, 1, 1]);
    let answer = bench.datapath.run(program::POD_EGRESS, &request).unwrap();
    assert_eq!(answer.answer, REDIRECT);
    assert_eq!(answer.frame[..12], [2, 0, 0, 0, 1, 10, 2, 0x73, 0x6b, 0x65, 0x70, 1]);
    assert_eq!(answer.frame[20..32], [0, 2, 2, 0x73, 0x6b, 0x65, 0x70, 1, 169, 254, 1, 1]);

    let (pod, group): (IpAddr, IpAddr) = ("fe80::5".parse().unwrap(), "ff02::1:ff00:1".parse().unwrap());
    let gateway: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
    let mut about = gateway.octets().to_vec();
    about.extend([1, 1, 2, 0, 0, 0, 1, 10]);
    let answer = bench.pod_sends(&frame::icmp(pod, group, 135, 0, 0, &about));
    assert_eq!(answer.answer, REDIRECT);
    let advertisement = out(&answer);
    assert_eq!((advertisement.source.ip(), advertisement.destination.ip()), (gateway.into(), pod));
    assert_eq!(advertisement.payload[0], 136);
    assert_eq!(advertisement.payload[24..], [2, 1, 2, 0x73, 0x6b, 0x65, 0x70, 1]);
}

#[test]
fn fragments_follow_their_first() {
    if !may_run() {
        return;
    }
    let bench = bench();
    let Family { client, backend, frontend, .. } = &families()[0];
    let whole = frame::udp(*client, *frontend, &[7; 64]);
    let later = frame::ip(client.ip(), frontend.ip(), 17, &whole[60..]);
    let later = frame::fragment(&later, 40, false);
    assert_eq!(bench.pod_sends(&later).answer, DROP, "the first has not come yet");
    assert_eq!(bench.dropped(DropReason::FragmentUnknown), 1);
    let first = bench.pod_sends(&frame::fragment(&whole[..60], 0, true));
    assert_eq!(first.answer, REDIRECT);
    let first = parse(&first.frame[14..], false);
    assert_eq!((first.source, first.destination), (*client, *backend));
    let run = bench.pod_sends(&later);
    assert_eq!(run.answer, REDIRECT);
    let rest = parse(&run.frame[14..], false);
    assert_eq!((rest.source.ip(), rest.destination.ip()), (client.ip(), backend.ip()));
    assert_eq!(rest.payload, later[20..], "data is not touched");
}

#[test]
fn errors_about_a_translated_flow_are_translated() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { client, backend, frontend, .. } in families() {
        bench.pod_sends(&frame::udp(client, frontend, b"x"));
        // The backend complains about what it got.
        let got = frame::udp(client, backend, b"x");
        let (kind, code) = if client.is_ipv4() { (3, 3) } else { (1, 4) };
        let run = bench.pod_sends(&frame::icmp(backend.ip(), client.ip(), kind, code, 0, &got));
        let error = out(&run);
        assert_eq!((run.answer, error.source.ip(), error.destination.ip()), (REDIRECT, frontend.ip(), client.ip()));
        let inner = parse(&error.payload[8..], false);
        assert_eq!((inner.source, inner.destination), (client, frontend));
    }
}

#[test]
fn the_world_and_back() {
    if !may_run() {
        return;
    }
    let bench = bench();
    for Family { client, world, node, .. } in families() {
        let egress = |packet: &[u8]| bench.datapath.run(program::UPLINK_EGRESS, &ethernet(packet)).unwrap();
        let ingress = |packet: &[u8]| bench.datapath.run(program::UPLINK_INGRESS, &ethernet(packet)).unwrap();
        let there = egress(&frame::tcp(client, world, SYN, b"hello"));
        let seen = out(&there);
        assert_eq!((there.answer, seen.source.ip(), seen.destination), (CONTINUE, node, world));
        assert!((10_000..=29_999).contains(&seen.source.port()));
        assert_eq!(out(&egress(&frame::tcp(client, world, ACK, b""))).source, seen.source, "one flow, one port");
        let back = ingress(&frame::tcp(world, seen.source, SYN | ACK, b""));
        assert_eq!((back.answer, out(&back).source, out(&back).destination), (REDIRECT, world, client));
        // A router on the way complains.
        let router: IpAddr = if node.is_ipv4() { [203, 0, 113, 1].into() } else { "2001:db8:5::1".parse().unwrap() };
        let (kind, code) = if node.is_ipv4() { (3, 4) } else { (2, 0) };
        let sent = frame::tcp(seen.source, world, ACK, b"");
        let error = ingress(&frame::icmp(router, node, kind, code, 1400, &sent));
        let inner = parse(&out(&error).payload[8..], false);
        assert_eq!(
            (error.answer, out(&error).source.ip(), out(&error).destination.ip()),
            (REDIRECT, router, client.ip())
        );
        assert_eq!((inner.source, inner.destination), (client, world));
        // Echo: the identifier stands for the port.
        let (request, reply) = if node.is_ipv4() { (8, 0) } else { (128, 129) };
        let there = out(&egress(&frame::icmp(client.ip(), world.ip(), request, 0, 0x0042_0001, b"ping")));
        assert_eq!(there.source.ip(), node);
        let word = u32::from_be_bytes(there.payload[4..8].try_into().unwrap());
        assert_ne!(word >> 16, 0x42);
        let back = ingress(&frame::icmp(world.ip(), node, reply, 0, word, b"ping"));
        assert_eq!((back.answer, out(&back).destination.ip()), (REDIRECT, client.ip()));
        assert_eq!(out(&back).payload[4..8], [0, 0x42, 0, 1]);
        // Not ours: other ports, other destinations, the node's own packets.
        let ssh = frame::tcp(world, SocketAddr::new(node, 22), SYN, b"");
        assert_eq!((ingress(&ssh).answer, ingress(&ssh).frame), (CONTINUE, ethernet(&ssh)));
        let own = frame::tcp(SocketAddr::new(node, 50000), world, SYN, b"");
        assert_eq!(egress(&own).frame, ethernet(&own));
    }
}

#[test]
fn every_free_port_is_found() {
    if !may_run() {
        return;
    }
    let bench = bench();
    let mut config = bench.maps.config.get(&INDEX).unwrap().unwrap();
    (config.snat_port_min, config.snat_port_max) = (20_000, 20_006);
    bench.maps.config.put(&INDEX, &config).unwrap();
    for Family { client, world, .. } in families() {
        let send = |port: u16, to: SocketAddr| {
            let from = SocketAddr::new(client.ip(), port);
            bench.datapath.run(program::UPLINK_EGRESS, &ethernet(&frame::tcp(from, to, SYN, b""))).unwrap()
        };
        let mut ports: Vec<_> = (0..7).map(|flow| out(&send(50_000 + flow, world)).source.port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, (20_000..=20_006).collect::<Vec<_>>());
        assert_eq!(send(60_000, world).answer, DROP);
        // Ports are free again towards another destination.
        assert_eq!(send(60_000, SocketAddr::new(world.ip(), 444)).answer, CONTINUE);
    }
    assert_eq!(bench.dropped(DropReason::NoPortFree), 2);
    // Flows end when they have been silent for long enough: half-open ones after a minute.
    let now = skep_proxy::datapath::typed_maps::sweep::monotonic_ns().unwrap();
    assert_eq!(bench.maps.sweep_conntrack(now).unwrap().expired, 0);
    assert_eq!(bench.maps.sweep_conntrack(now + 120_000_000_000).unwrap().expired, 32);
    assert!(bench.maps.conntrack.dump().unwrap().is_empty());
}
