use std::net::IpAddr;

use super::topology::sets;
use super::{Backend, Place};
use crate::objects::Conditions;

fn place() -> Place {
    Place { node: "n1".into(), zone: Some("a".into()), addresses: Vec::new() }
}

fn backend(last: u8, ready: bool, serving: bool, terminating: bool, is_local: bool) -> Backend {
    Backend {
        address: IpAddr::from([10, 0, 0, last]),
        port: 80,
        conditions: Conditions { ready, serving, terminating },
        is_local,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
    }
}

fn lasts(set: &[&Backend]) -> Vec<u8> {
    set.iter()
        .map(|backend| match backend.address {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        })
        .collect()
}

#[test]
fn cluster_and_local_fall_back_separately() {
    // Elsewhere one is ready; here one is on its way out, and another gone.
    let all = [
        backend(1, true, true, false, false),
        backend(2, false, true, true, true),
        backend(3, false, false, true, true),
    ];
    let sets = sets(&all, &place());
    assert_eq!((lasts(&sets.cluster), lasts(&sets.local)), (vec![1], vec![2]));
}

#[test]
fn a_terminating_endpoint_that_is_ready_counts_as_ready() {
    let all = [backend(1, true, false, true, true), backend(2, false, true, true, true)];
    let sets = sets(&all, &place());
    assert_eq!((lasts(&sets.cluster), lasts(&sets.local)), (vec![1], vec![1]));
}

#[test]
fn hints_for_other_zones_only_are_ignored() {
    let mut all = [backend(1, true, true, false, false), backend(2, true, true, false, false)];
    for backend in &mut all {
        backend.zone_hints = vec!["b".into()];
    }
    assert_eq!(lasts(&sets(&all, &place()).cluster), [1, 2]);
    all[1].zone_hints = vec!["b".into(), "a".into()];
    assert_eq!(lasts(&sets(&all, &place()).cluster), [2]);
    // The node's hint is nearer than the zone's.
    all[0].node_hints = vec!["n1".into()];
    assert_eq!(lasts(&sets(&all, &place()).cluster), [2], "one lacks a node hint");
    all[1].node_hints = vec!["n2".into()];
    assert_eq!(lasts(&sets(&all, &place()).cluster), [1]);
}

#[test]
fn hints_do_not_count_for_those_on_their_way_out() {
    let mut all = [backend(1, false, true, true, false), backend(2, false, true, true, false)];
    all[0].zone_hints = vec!["a".into()];
    assert_eq!(lasts(&sets(&all, &place()).cluster), [1, 2]);
}
