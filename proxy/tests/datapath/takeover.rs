//! One set of programs takes the place of another under traffic: a restarted agent's, and those of another layout version.
//! Nothing is lost, nothing is reset.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use skep_proxy::datapath::{Datapath, Device, TypedMaps, load};
use skep_proxy_ebpf::{
    maps::{self, config},
    pins::{LAYOUT_VERSION, PinDirectory},
    protocol::Protocol,
};

use crate::{
    client::Call,
    fixture::{Node, PORT, inside},
    may_run,
    pods::Cluster,
    traffic::Traffic,
};

/// Traffic of every kind through the first node. By packets Services are dialled by IPv6, by sockets by IPv4: a namespace
/// that does both to one backend may use one port for two connections, which then look the same to the backend.
fn traffic(cluster: &Cluster) -> Traffic {
    let (one, from) = (&cluster.nodes[0], &cluster.a.namespace.0);
    let mut traffic = Traffic::new();
    for (number, v4, v6) in
        [(1, cluster.b.v4, Some(cluster.b.v6)), (2, cluster.far.v4, Some(cluster.far.v6)), (3, one.v4, None)]
    {
        let frontend = format!("10.96.0.{number}:80").parse().unwrap();
        serve(one, number, frontend, (v4, PORT).into());
        traffic.by_sockets(one, from, frontend);
        if let Some(v6) = v6 {
            let frontend = format!("[fd00:10:96::{number}]:80").parse().unwrap();
            serve(one, number + 100, frontend, (v6, PORT).into());
            traffic.by_packets(from, frontend);
        }
    }
    traffic.by_packets(from, (cluster.far.v4, PORT).into());
    traffic.by_packets(&one.namespace.0, (cluster.b.v4, PORT).into());
    traffic.warm_up();
    traffic
}

fn serve(node: &Node, id: u64, frontend: SocketAddr, backend: SocketAddr) {
    for (id, protocol) in [(id, Protocol::Tcp), (id + 10, Protocol::Udp)] {
        node.service(id, frontend, protocol, &[backend]);
    }
}

/// As an agent that starts does.
fn attach(node: &Node, datapath: &Datapath) {
    datapath.attach_cgroup(fs::File::open(&node.cgroup).unwrap().as_fd()).unwrap();
    datapath.update_pods().unwrap();
    load::remove_other_versions(datapath.pins()).unwrap();
}

fn links(pins: &PinDirectory) -> usize {
    fs::read_dir(pins.links()).unwrap().count()
}

#[test]
fn a_restarted_agents_programs() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let (before, traffic) = (links(&one.pins), traffic(&cluster));
    for _ in 0..10 {
        attach(one, &Datapath::load(&one.pins).unwrap());
    }
    traffic.check(|| cluster.drops());
    assert_eq!(links(&one.pins), before);
}

/// The next version, with maps that have not changed: elements, counters and flows are taken over.
#[test]
fn the_next_layout_version() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let (before, traffic) = (links(&one.pins), traffic(&cluster));
    let next = one.pins.clone().with_layout(LAYOUT_VERSION + 1);
    let datapath = Datapath::load(&next).unwrap();
    attach(one, &datapath);
    traffic.warm_up();
    traffic.check(|| cluster.drops());
    assert_eq!((links(&next), one.pins.version().exists()), (before, false));
    let counts = TypedMaps::open(&next).unwrap().backend_counts.dump().unwrap();
    assert!(counts.iter().any(|(_, count)| count.opened > 0), "counters are new");
    // And back: the maps of a newer version are strange to us.
    let datapath = Datapath::load(&one.pins).unwrap();
    assert!(TypedMaps::open(&one.pins).unwrap().services.dump().unwrap().is_empty());
    drop(datapath);
}

/// A version from which no map can be used: it serves until the new maps are filled. A socket that it connected stays
/// connected, and answers `getpeername` with the backend from then on.
#[test]
fn a_layout_version_with_other_maps() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let one = &cluster.nodes[0];
    let (before, pins) = (links(&one.pins), &one.pins);
    let older = pins.clone().with_layout(0);
    fs::rename(pins.version(), older.version()).unwrap();
    let from = &cluster.a.namespace.0;
    let mut traffic = Traffic::new();
    for (number, backend) in [(1, cluster.b.v4), (2, cluster.far.v4)] {
        let frontend = format!("10.96.0.{number}:80").parse().unwrap();
        serve(one, number, frontend, (backend, PORT).into());
        traffic.by_forgetful_sockets(one, from, frontend);
    }
    traffic.by_packets(from, (cluster.far.v6, PORT).into());
    traffic.warm_up();

    let datapath = Datapath::load(pins).unwrap();
    let filled = TypedMaps::open(pins).unwrap();
    assert!(filled.services.dump().unwrap().is_empty(), "strange maps were taken over");
    traffic.warm_up();
    let old = TypedMaps::open(&older).unwrap();
    filled.config.put(&config::INDEX, &old.config.get(&config::INDEX).unwrap().unwrap()).unwrap();
    filled.backend_counts.put_all(&old.backend_counts.dump().unwrap()).unwrap();
    filled.services.put_all(&old.services.dump().unwrap()).unwrap();
    filled.pods.put_all(&old.pods.dump().unwrap()).unwrap();
    for (range, value) in old.nodes.dump().unwrap() {
        filled.nodes.put(&range, &value).unwrap();
    }
    attach(one, &datapath);
    traffic.warm_up();
    traffic.check(|| cluster.drops());
    assert_eq!((links(pins), older.version().exists()), (before, false));
    assert!(maps::NAMES.iter().all(|name| pins.map(name).exists()));
}

#[test]
fn programs_that_somebody_takes_off_come_back() {
    if !may_run() {
        return;
    }
    let cluster = Cluster::new();
    let (one, a) = (&cluster.nodes[0], &cluster.a.namespace.0);
    let cgroup = fs::File::open(&one.cgroup).unwrap();
    let pods: BTreeSet<u32> = one.maps.pods.dump().unwrap().into_iter().map(|(_, pod)| pod.ifindex()).collect();
    let config = one.maps.config.get(&config::INDEX).unwrap().unwrap();
    let devices = [(Device::Overlay, config.overlay_ifindex), (Device::Uplink, config.uplink_ifindex)];
    let put_back = || inside(&one.namespace.0, || one.datapath.put_back(cgroup.as_fd(), &devices, &pods).unwrap());
    assert_eq!(put_back(), 0);
    let frontend = "10.96.0.1:80".parse().unwrap();
    serve(one, 1, frontend, (cluster.far.v4, PORT).into());
    let answered = || format!("far {} peer={frontend}", cluster.a.v4);
    let all = links(&one.pins);
    // Whoever removes the pin takes the program off.
    for link in fs::read_dir(one.pins.links()).unwrap() {
        fs::remove_file(link.unwrap().path()).unwrap();
    }
    // The kernel lets go of them a little later.
    let end = Instant::now() + Duration::from_secs(10);
    while Call::Tcp(frontend).by_socket(one, a) == answered() {
        assert!(Instant::now() < end, "programs without a pin go on");
    }
    assert_eq!((put_back(), links(&one.pins)), (all, all));
    assert_eq!(Call::Tcp(frontend).by_socket(one, a), answered());
    assert_eq!(Call::Tcp(frontend).by_packets(a), answered());
    assert_eq!(put_back(), 0);
}
