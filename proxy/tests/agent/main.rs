//! The whole agent on a node of its own, against an API server that lists and watches: from objects to the kernel's
//! maps, devices and routes, and what stays when it goes. Needs root.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]
#![expect(clippy::print_stderr, reason = "says why it does nothing")]
#![expect(clippy::disallowed_methods, reason = "runs ip, and waits by the real clock")]

mod api;
mod node;
mod pod;

use std::time::Duration;

use api::ApiServer;
use node::{Node, Running, eventually};
use pod::Pod;
use serde_json::{Value, json};

fn on_a_node(test: impl AsyncFnOnce(&Node) + Send + 'static) {
    if std::env::var_os("SKEP_TEST_ROOT").is_none() {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
        return;
    }
    drop(tracing_subscriber::fmt().with_env_filter("skep_proxy=debug").with_test_writer().try_init());
    // Namespaces belong to a thread and to those it starts: the runtime is made inside.
    let thread = std::thread::spawn(move || {
        let node = Node::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(test(&node));
    });
    thread.join().expect("the test on its node");
}

fn api_node(name: &str, address: &str, number: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name},
        "spec": {"podCIDRs": [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")]},
        "status": {"addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "InternalIP", "address": format!("fd00:10:89::{number}")},
            {"type": "Hostname", "address": name},
        ]},
    })
}

fn service(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}]},
    })
}

fn slice(service: &str, endpoints: &[(&str, &str)]) -> Value {
    let endpoints = endpoints.iter().map(|(address, node)| {
        json!({
            "addresses": [address], "nodeName": node, "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("pod-{address}")},
        })
    });
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default", "labels": {"kubernetes.io/service-name": service},
        },
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn backends(node: &Node, service: &str) -> usize {
    let view = node.view().and_then(|view| view.only("default", service).ok());
    view.map_or(0, |view| view.services[0].backends.len())
}

#[test]
fn from_the_api_to_the_kernel_and_back_after_a_restart() {
    on_a_node(async |node| {
        let api = ApiServer::start().await;
        api.put(api_node("n1", "10.89.0.11", 1));
        api.put(api_node("n2", "10.89.0.12", 2));
        api.put(service("web", "10.96.0.7"));
        api.put(slice("web", &[("10.244.1.5", "n1"), ("10.244.2.5", "n2")]));

        let agent = Running::start(node, &api);
        eventually("the node takes pods", || node.conflist().is_some()).await;
        let plugin = &node.conflist().unwrap()["plugins"][0];
        assert_eq!(plugin["mtu"], 1450);
        assert_eq!(plugin["podCIDRs"], json!(["10.244.1.0/24", "fd00:10:244:1::/64"]));
        eventually("both backends", || backends(node, "web") == 2).await;
        let web = node.view().unwrap().only("default", "web").unwrap();
        assert_eq!(web.services[0].backends[0].pod, "default/pod-10.244.1.5");

        // The other node is behind the tunnel, reached from the node's own address.
        let route = node.ip("route show dev skep0");
        assert!(route.contains("10.244.2.0/24") && route.contains("src 10.89.0.11"), "{route}");
        assert!(node.ip("-6 route show dev skep0").contains("fd00:10:244:2::/64"));
        let device = node.ip("-d link show skep0");
        assert!(device.contains("mtu 1450") && device.contains("external") && device.contains("NOARP"), "{device}");

        // Changes follow.
        api.put(slice("web", &[("10.244.1.5", "n1"), ("10.244.2.5", "n2"), ("10.244.2.6", "n2")]));
        eventually("a third backend", || backends(node, "web") == 3).await;
        api.put(api_node("n3", "10.89.0.13", 3));
        eventually("a third node", || node.ip("route show dev skep0").contains("10.244.3.0/24")).await;
        api.delete("Node", "", "n3");
        eventually("two nodes", || !node.ip("route show dev skep0").contains("10.244.3.0/24")).await;
        assert!(agent.is_healthy().await);

        // What others break is put right: an element of the map, the device.
        node.delete_frontends();
        node.ip("link delete skep0");
        eventually("the frontend is back", || backends(node, "web") == 3).await;
        eventually("the tunnel is back", || node.ip("route show dev skep0").contains("10.244.2.0/24")).await;

        // Without the agent everything stays.
        agent.stop().await;
        assert_eq!(backends(node, "web"), 3);

        // A new agent does not touch what is still wanted, and deletes nothing before it knows everything.
        let before = node.view().unwrap().services[0].frontends[0].generation;
        api.delete("EndpointSlice", "default", "web-1");
        api.delete("Service", "default", "web");
        api.put(service("late", "10.96.0.8"));
        api.hold("EndpointSlice", true);
        let agent = Running::start(node, &api);
        eventually("the watches are asked for", || api.asked_while_held() > 0).await;
        assert_eq!(node.view().unwrap().services[0].frontends[0].generation, before);
        api.hold("EndpointSlice", false);
        eventually("what is gone from the API is gone", || backends(node, "web") == 0).await;
        eventually("the new Service is there", || node.view().is_some_and(|v| v.only("default", "late").is_ok())).await;
        agent.stop().await;
    });
}

#[test]
fn a_restart_leaves_wanted_frontends_alone() {
    on_a_node(async |node| {
        let api = ApiServer::start().await;
        api.put(api_node("n1", "10.89.0.11", 1));
        let many: Vec<String> = (2..42).map(|last| format!("10.244.2.{last}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|address| (address.as_str(), "n2")).collect();
        api.put(service("wide", "10.96.0.7"));
        api.put(slice("wide", &many));
        let agent = Running::start(node, &api);
        eventually("forty backends", || backends(node, "wide") == 40).await;
        agent.stop().await;
        let before = node.view().unwrap();
        let agent = Running::start(node, &api);
        eventually("a round is done", || api.lists_of("EndpointSlice") == 2).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(node.view().unwrap().services[0].frontends, before.services[0].frontends, "the same generation");
        agent.stop().await;
    });
}

#[test]
fn pods_reach_each_other_their_node_and_a_service() {
    on_a_node(async |node| {
        if pod::plugin().is_none() {
            eprintln!("needs skep-cni (cargo build -p skep-cni, or cargo xtask test)");
            return;
        }
        let api = ApiServer::start().await;
        api.put(api_node("n1", "10.89.0.11", 1));
        let agent = Running::start(node, &api);
        eventually("the node takes pods", || node.conflist().is_some()).await;

        let (one, two) = (Pod::add(node, "one"), Pod::add(node, "two"));
        two.serve(8080);
        let own = one.address.to_string();
        assert_eq!(one.ask((two.address, 8080).into()).expect("pod to pod"), own, "the peer's real address");
        assert!(pod::ask((two.address, 8080).into()).is_ok(), "node to pod");
        let listener = std::net::TcpListener::bind("10.89.0.11:0").expect("listen");
        let of_node = listener.local_addr().expect("an address");
        pod::serve(listener);
        assert_eq!(one.ask(of_node).expect("pod to node"), own);

        // Threads of this test are not in the agent's cgroup: their Services are translated packet by packet.
        api.put(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["10.96.0.0/16"]},
        }));
        api.put(service("web", "10.96.0.7"));
        api.put(slice("web", &[(&two.address.to_string(), "n1")]));
        eventually("the backend", || backends(node, "web") == 1).await;
        let web = "10.96.0.7:80".parse().expect("an address");
        assert_eq!(one.ask(web).expect("pod to Service"), own);
        let begin = std::time::Instant::now();
        let refused = one.ask("10.96.0.7:81".parse().expect("an address")).expect_err("no such port");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{refused}");
        assert!(begin.elapsed() < Duration::from_secs(1));

        // Without the agent: pods come, go, and are served.
        agent.stop().await;
        let three = Pod::add(node, "three");
        assert_eq!(three.ask(web).expect("a new pod to the Service"), three.address.to_string());
        for pod in [one, two, three] {
            pod.delete();
        }
        assert!(!node.ip("link").contains("pod"), "devices are left: {}", node.ip("link"));
    });
}

/// Not a test of right and wrong: with `SKEP_BENCH=1` it prints what the design sets goals for.
#[test]
fn ten_thousand_services() {
    if std::env::var_os("SKEP_BENCH").is_none() {
        eprintln!("a measurement: needs SKEP_BENCH=1");
        return;
    }
    on_a_node(async |node| {
        let api = ApiServer::start().await;
        api.put(api_node("n1", "10.89.0.11", 1));
        for number in 0..10_000_u32 {
            let [.., high, low] = number.to_be_bytes();
            let name = format!("s{number}");
            api.put(service(&name, &format!("10.97.{high}.{low}")));
            let endpoints: Vec<String> = (1..=5).map(|n| format!("10.{}.{high}.{low}", 200 + n)).collect();
            let endpoints: Vec<(&str, &str)> = endpoints.iter().map(|address| (address.as_str(), "n2")).collect();
            api.put(slice(&name, &endpoints));
        }
        let begin = std::time::Instant::now();
        let agent = Running::start(node, &api);
        let resident = || {
            std::fs::read_to_string("/proc/self/status")
                .ok()
                .map(|text| text.lines().find(|l| l.starts_with("VmRSS")).map(str::to_owned))
        };
        eventually("all services", || node.frontends() == 20_000).await;
        eprintln!("cold start of 10 000 Services x 5 endpoints: {:?}, {:?}", begin.elapsed(), resident());
        eventually("names", || backends(node, "s9999") == 5).await;
        for _ in 0..3 {
            let begin = std::time::Instant::now();
            let view = node.view().expect("a view");
            eprintln!("reading the view of {} service ports: {:?}", view.services.len(), begin.elapsed());
        }
        for last in 1..=5 {
            let begin = std::time::Instant::now();
            api.put(service(&format!("one-more-{last}"), &format!("10.98.0.{last}")));
            while node.frontends() != 20_000 + 2 * last {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            eprintln!(
                "one more Service, from the API to the kernel: {:?} (of it, looking: see the next)",
                begin.elapsed()
            );
            let begin = std::time::Instant::now();
            node.frontends();
            eprintln!("looking once: {:?}", begin.elapsed());
        }
        agent.stop().await;
    });
}
