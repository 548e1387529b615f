//! Nodes and pods made of network namespaces, joined by a bridge that leads nowhere else.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use skep_proxy::datapath::{Datapath, Device, TypedMaps, load, netns, typed_maps::node_range};
use skep_proxy_ebpf::{
    address::Cidr,
    maps::{
        backend::Backend,
        backend_count::{BackendCount, BackendCountKey},
        config::{DEFAULT_SNAT_PORTS, INDEX, MASQUERADE, NodeConfig},
        node::{NodeValue, Reach},
        pod::{PodKey, PodValue},
        service::{SCOPE_CLUSTER, ServiceKey, ServiceValue},
    },
    overlay,
    pins::PinDirectory,
    protocol::Protocol,
};

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique(kind: &str) -> String {
    format!("skt{}-{}-{kind}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a command of iproute2, given as words.
pub(crate) fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `work` on a thread of its own inside a network namespace.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                enter(namespace);
                work()
            })
            .join()
            .unwrap()
    })
}

pub(crate) fn enter(namespace: &str) {
    let file = File::open(Path::new("/run/netns").join(namespace)).unwrap();
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
}

fn sysctl(namespace: &str, name: &str, value: &str) {
    // /proc/sys/net shows the namespace of the thread that opens it.
    inside(namespace, || fs::write(Path::new("/proc/sys/net").join(name), value).unwrap());
}

fn ifindex(namespace: &str, device: &str) -> u32 {
    inside(namespace, || nix::net::if_::if_nametoindex(device).unwrap())
}

/// A network namespace, deleted with its devices.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    fn new(kind: &str) -> Self {
        let name = unique(kind);
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Command::new("ip").args(["netns", "del", &self.0]).output().ok();
    }
}

/// What nodes are joined by, and an outside host on it at `.254`.
pub(crate) struct Network {
    bridge: Namespace,
    pub(crate) outside: Namespace,
}

pub(crate) const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
pub(crate) const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

impl Network {
    pub(crate) fn new() -> Self {
        let network = Self { bridge: Namespace::new("net"), outside: Namespace::new("out") };
        ip(&format!("-n {} link add br0 type bridge", network.bridge.0));
        ip(&format!("-n {} link set br0 up", network.bridge.0));
        network.join(&network.outside.0, "out", OUTSIDE_V4, OUTSIDE_V6);
        network
    }

    fn join(&self, namespace: &str, port: &str, v4: Ipv4Addr, v6: Ipv6Addr) {
        let bridge = &self.bridge.0;
        ip(&format!("-n {namespace} link add eth0 type veth peer name {port} netns {bridge}"));
        ip(&format!("-n {bridge} link set {port} master br0 up"));
        ip(&format!("-n {namespace} addr add {v4}/24 dev eth0"));
        ip(&format!("-n {namespace} addr add {v6}/64 dev eth0 nodad"));
        ip(&format!("-n {namespace} link set eth0 up"));
    }
}

/// Programs and maps of a node, without the node.
pub(crate) struct Bench {
    pub(crate) pins: PinDirectory,
    pub(crate) datapath: Datapath,
    pub(crate) maps: TypedMaps,
    generation: AtomicU32,
}

impl Bench {
    pub(crate) fn new(number: u8, overlay_ifindex: u32, uplink_ifindex: u32, v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        let pins = PinDirectory::new(Path::new("/sys/fs/bpf").join(unique("pins")));
        let datapath = Datapath::load(&pins).unwrap_or_else(|error| {
            load::remove(&pins).ok();
            panic!("{error}: {error:#?}")
        });
        let maps = TypedMaps::open(&pins).unwrap();
        let config = NodeConfig {
            flags: MASQUERADE,
            overlay_ifindex,
            uplink_ifindex,
            vni: overlay::VNI,
            snat_port_min: DEFAULT_SNAT_PORTS.0,
            snat_port_max: DEFAULT_SNAT_PORTS.1,
            zero: 0,
            ipv4: v4.into(),
            ipv6: v6.into(),
            service_cidrs: [
                Cidr::new([10, 96, 0, 0].into(), 16).unwrap(),
                Cidr::new("fd00:10:96::".parse().unwrap(), 112).unwrap(),
                Cidr::NONE,
                Cidr::NONE,
            ],
            host_netns_cookie: 0,
        };
        maps.config.put(&INDEX, &config).unwrap();
        let bench = Self { pins, datapath, maps, generation: AtomicU32::new(0) };
        for (network, len) in pod_ranges(number) {
            bench.route(network, len, NodeValue::without_tunnel(Reach::LocalPods));
        }
        bench.route(v4.into(), 32, NodeValue::own_with_node_ports());
        bench.route(v6.into(), 128, NodeValue::own_with_node_ports());
        bench
    }

    pub(crate) fn route(&self, network: IpAddr, len: u8, value: NodeValue) {
        self.maps.nodes.put(&node_range(network, len).unwrap(), &value).unwrap();
    }

    /// Publishes a Service port, as the agent does.
    pub(crate) fn service(&self, id: u64, frontend: SocketAddr, protocol: Protocol, backends: &[SocketAddr]) {
        let generation = u64::from(self.generation.fetch_add(1, Ordering::Relaxed)) + 1;
        let backends: Vec<_> =
            backends.iter().map(|backend| Backend::new(backend.ip().into(), backend.port(), 0)).collect();
        for backend in &backends {
            self.maps.backend_counts.put(&BackendCountKey::of(id, backend), &BackendCount::default()).unwrap();
        }
        self.maps.backend_counts.put(&BackendCountKey::refusals(id), &BackendCount::default()).unwrap();
        let key = ServiceKey::new(frontend.ip().into(), frontend.port(), protocol, SCOPE_CLUSTER);
        let value = ServiceValue::new(key, id, generation, &backends);
        for (index, chunk) in
            backends.chunks(skep_proxy_ebpf::maps::backend::CHUNK).enumerate().take(value.chunks() as usize)
        {
            let key = skep_proxy_ebpf::maps::backend::ChunkKey::new(generation, index.try_into().unwrap());
            let chunk = skep_proxy_ebpf::maps::backend::ChunkValue::new(generation, chunk);
            self.maps.chunks.put(&key, &chunk).unwrap();
        }
        self.maps.services.put(&key, &value).unwrap();
        let mark = ServiceKey::address_mark(frontend.ip().into());
        self.maps.services.put(&mark, &ServiceValue::new(mark, 0, generation, &[])).unwrap();
    }

    /// Open connections of a backend.
    pub(crate) fn live(&self, id: u64, backend: SocketAddr) -> u64 {
        let backend = Backend::new(backend.ip().into(), backend.port(), 0);
        self.maps.backend_counts.get(&BackendCountKey::of(id, &backend)).unwrap().unwrap().live()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        load::remove(&self.pins).ok();
    }
}

/// One node: its namespace, cgroup, programs and maps.
pub(crate) struct Node {
    pub(crate) number: u8,
    pub(crate) cgroup: PathBuf,
    bench: Bench,
    pub(crate) namespace: Namespace,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

impl std::ops::Deref for Node {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl Node {
    pub(crate) fn new(network: &Network, number: u8) -> Self {
        let namespace = Namespace::new("node");
        let ns = namespace.0.clone();
        let (v4, v6) = (Ipv4Addr::new(192, 0, 2, number), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()));
        network.join(&ns, &format!("node{number}"), v4, v6);
        ip(&format!("-n {ns} route add default via {OUTSIDE_V4}"));
        ip(&format!("-n {ns} -6 route add default via {OUTSIDE_V6}"));
        sysctl(&ns, "ipv4/ip_forward", "1");
        sysctl(&ns, "ipv6/conf/all/forwarding", "1");
        let mac = mac_text(overlay::GATEWAY_MAC);
        ip(&format!(
            "-n {ns} link add {} address {mac} mtu 1430 type vxlan external dstport {} nolearning",
            overlay::DEVICE,
            overlay::UDP_PORT
        ));
        ip(&format!("-n {ns} link set {} arp off addrgenmode none up", overlay::DEVICE));

        let (uplink, tunnel) = (ifindex(&ns, "eth0"), ifindex(&ns, overlay::DEVICE));
        let bench = Bench::new(number, tunnel, uplink, v4, v6);
        let config = bench.maps.config.get(&INDEX).unwrap().unwrap();
        let host_netns_cookie = inside(&ns, || netns::own_cookie().unwrap());
        bench.maps.config.put(&INDEX, &NodeConfig { host_netns_cookie, ..config }).unwrap();
        let cgroup = cgroup_mount().join(unique("cgroup"));
        fs::create_dir(&cgroup).unwrap();
        bench.datapath.attach_cgroup(File::open(&cgroup).unwrap().as_fd()).unwrap();
        inside(&ns, || {
            bench.datapath.attach_device(Device::Overlay, tunnel).unwrap();
            bench.datapath.attach_device(Device::Uplink, uplink).unwrap();
        });
        Self { number, cgroup, bench, namespace, v4, v6 }
    }

    /// Makes another node's pods and addresses reachable, as the agent does.
    pub(crate) fn knows(&self, other: &Self, tunnel_end: IpAddr) {
        let tunnel = NodeValue::overlay(tunnel_end);
        let ns = &self.namespace.0;
        for (network, len) in pod_ranges(other.number) {
            self.route(network, len, tunnel);
            let own: IpAddr = if network.is_ipv4() { self.v4.into() } else { self.v6.into() };
            ip(&format!("-n {ns} route add {network}/{len} dev {} src {own}", overlay::DEVICE));
        }
        self.route(other.v4.into(), 32, tunnel);
        self.route(other.v6.into(), 128, tunnel);
    }

    /// Makes a pod, as the CNI plugin does.
    pub(crate) fn pod(&self, number: u8) -> Pod {
        let namespace = Namespace::new("pod");
        let (node, pod, host) = (&self.namespace.0, &namespace.0, format!("pod{number}"));
        let v4 = Ipv4Addr::new(10, 244, self.number, number);
        let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, self.number.into(), 0, 0, 0, number.into());
        let pod_mac = [2, 0, 0, 0, self.number, number];
        let (gateway_mac, pod_mac_text) = (mac_text(overlay::GATEWAY_MAC), mac_text(pod_mac));
        ip(&format!(
            "-n {node} link add {host} mtu 1430 address {gateway_mac} type veth peer name eth0 netns {pod} mtu 1430 address {pod_mac_text}"
        ));
        ip(&format!("-n {node} link set {host} addrgenmode none up"));
        ip(&format!("-n {pod} link set eth0 up"));
        ip(&format!("-n {pod} addr add {v4}/32 dev eth0"));
        ip(&format!("-n {pod} addr add {v6}/128 dev eth0 nodad"));
        for (gateway, own) in
            [(IpAddr::from(overlay::GATEWAY_IPV4), IpAddr::from(v4)), (overlay::GATEWAY_IPV6.into(), v6.into())]
        {
            let family = if gateway.is_ipv4() { "-4" } else { "-6" };
            ip(&format!("-n {pod} {family} route add default via {gateway} dev eth0 onlink"));
            ip(&format!("-n {node} {family} route add {own} dev {host}"));
            ip(&format!("-n {node} neigh add {own} lladdr {pod_mac_text} dev {host} nud permanent"));
        }
        let index = ifindex(node, &host);
        for address in [IpAddr::from(v4), v6.into()] {
            let value = PodValue::new(index, pod_mac, overlay::GATEWAY_MAC, 0);
            self.maps.pods.put(&PodKey::new(address.into()), &value).unwrap();
        }
        inside(node, || self.datapath.attach_pod(index).unwrap());
        Pod { namespace, v4, v6 }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        fs::remove_dir(&self.cgroup).ok();
    }
}

/// A pod with a server in it, see [`serve`].
pub(crate) struct Pod {
    pub(crate) namespace: Namespace,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

impl Pod {
    /// Its address of the family of `other`.
    pub(crate) fn like(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.v4.into() } else { self.v6.into() }
    }
}

fn pod_ranges(node: u8) -> [(IpAddr, u8); 2] {
    let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, node.into(), 0, 0, 0, 0);
    [(Ipv4Addr::new(10, 244, node, 0).into(), 24), (v6.into(), 64)]
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn cgroup_mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 mount");
    PathBuf::from(line.split(' ').nth(4).unwrap())
}

/// Port of the servers.
pub(crate) const PORT: u16 = 8080;

/// Serves TCP and UDP on [`PORT`] in a namespace, for as long as the test runs: every connection and datagram is answered
/// with `<name> <address of the client>`, then TCP echoes.
pub(crate) fn serve(namespace: &str, name: &'static str) {
    let (tcp, udp) =
        inside(namespace, || (TcpListener::bind(("::", PORT)).unwrap(), UdpSocket::bind(("::", PORT)).unwrap()));
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().unwrap().ip().to_canonical();
            thread::spawn(move || {
                writeln!(stream, "{name} {peer}").ok();
                let mut buffer = vec![0; 65536];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            udp.send_to(format!("{name} {}", peer.ip().to_canonical()).as_bytes(), peer).ok();
        }
    });
}
