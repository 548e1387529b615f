use skep_proxy_ebpf::maps::node::{NodeKey, NodeValue, Reach};

use super::wanted;
use crate::objects::Node;

fn node(name: &str, address: &str, pods: &str) -> Node {
    Node {
        name: name.into(),
        addresses: vec![address.parse().unwrap()],
        pod_cidrs: vec![pods.parse().unwrap()],
        zone: None,
    }
}

#[test]
fn own_pods_are_here_and_others_behind_the_tunnel() {
    let nodes = [node("n1", "10.89.0.11", "10.244.1.0/24"), node("n2", "10.89.0.12", "10.244.2.0/24")];
    let ranges = wanted("n1", nodes.iter(), &["192.168.0.0/16".parse().unwrap()]);
    let at = |network: &str, prefix| ranges.get(&NodeKey::range(network.parse().unwrap(), prefix).unwrap()).copied();
    let end = "10.89.0.12".parse().unwrap();
    assert_eq!(at("10.244.1.0", 24), Some(NodeValue::without_tunnel(Reach::LocalPods)));
    assert_eq!(at("10.89.0.11", 32), Some(NodeValue::without_tunnel(Reach::Own)));
    assert_eq!(at("10.244.2.0", 24), Some(NodeValue::overlay(end)));
    assert_eq!(at("10.89.0.12", 32), Some(NodeValue::overlay(end)));
    assert_eq!(at("192.168.0.0", 16), Some(NodeValue::without_tunnel(Reach::Direct)));
    assert_eq!(ranges.len(), 5);
}

#[test]
fn a_node_without_an_address_has_no_ranges() {
    let young = Node {
        name: "n3".into(),
        addresses: Vec::new(),
        pod_cidrs: vec!["10.244.3.0/24".parse().unwrap()],
        zone: None,
    };
    assert!(wanted("n1", [young].iter(), &[]).is_empty());
}
