use super::*;
use crate::pod_info::PodInfo;
use crate::testing::{node, pending, pod};
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeSpec, Pod, PodAffinity, PodAffinityTerm, PodAntiAffinity, Taint, Toleration,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn schedule(state: &mut ClusterState, pod: &Pod) -> Result<String, String> {
    let mut pending = pending(state, pod);
    if !pending.own_spread {
        pending.soft_spread = crate::pending_pod::default_spread(pod, std::iter::empty());
    }
    Finder::prepare(state, &pending);
    let found = Finder::new(7).find(state, &pending).map_err(|diagnosis| diagnosis.message(&state.names))?;
    let name = state.node(found).unwrap().name.clone();
    state.place(Arc::clone(&pending.info), &name, true);
    Ok(name)
}

fn selector(key: &str, value: &str) -> Option<LabelSelector> {
    Some(LabelSelector { match_labels: Some([(key.to_owned(), value.to_owned())].into()), match_expressions: None })
}

#[test]
fn ten_replicas_on_two_equal_nodes_are_five_and_five() {
    let mut state = ClusterState::default();
    for name in ["n1", "n2"] {
        state.set_node(&node(name, "4", "8Gi", 110, &[]));
    }
    let mut counts = HashMap::new();
    for n in 0..10 {
        let mut pod = pod(&format!("p{n}"), &[], &[("app", "a")]);
        pod.metadata.owner_references =
            Some(vec![OwnerReference { uid: "rs".into(), controller: Some(true), ..OwnerReference::default() }]);
        *counts.entry(schedule(&mut state, &pod).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts, HashMap::from([("n1".into(), 5), ("n2".into(), 5)]));
}

#[test]
fn the_larger_node_is_preferred_and_messages_say_what_is_short() {
    let mut state = ClusterState::default();
    state.set_node(&node("n1", "2", "2Gi", 3, &[]));
    state.set_node(&node("n2", "1", "1Gi", 3, &[]));
    assert_eq!(schedule(&mut state, &pod("big", &[("cpu", "1500m")], &[])), Ok("n1".into()));
    assert_eq!(
        schedule(&mut state, &pod("big2", &[("cpu", "1500m")], &[])),
        Err("0/2 nodes are available: 2 Insufficient cpu.".into())
    );
    assert_eq!(schedule(&mut state, &pod("mid", &[("cpu", "900m")], &[])), Ok("n2".into()));
    assert_eq!(
        schedule(&mut state, &pod("ext", &[("e.com/x", "1"), ("cpu", "1")], &[])),
        Err("0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient e.com/x.".into())
    );
    let mut tainted = node("n1", "2", "2Gi", 3, &[]);
    tainted.spec = Some(NodeSpec { unschedulable: Some(true), ..NodeSpec::default() });
    state.set_node(&tainted);
    assert_eq!(
        schedule(&mut state, &pod("plain", &[("cpu", "500m")], &[])),
        Err("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.".into())
    );
}

/// A node as the property test makes it.
#[derive(Clone, Debug)]
struct MadeNode {
    cpu: i64,
    pods: u32,
    zone: Option<u8>,
    taint: bool,
    cordoned: bool,
}

/// A pod as the property test makes it.
#[derive(Clone, Debug)]
struct MadePod {
    cpu: i64,
    app: u8,
    zone: Option<u8>,
    tolerates: bool,
    host_port: bool,
    anti: Option<(u8, bool)>,
    with: Option<u8>,
    skew: Option<i32>,
}

fn made_node() -> impl Strategy<Value = MadeNode> {
    (1..5_i64, 1..6_u32, proptest::option::of(0..3_u8), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1))
        .prop_map(|(cpu, pods, zone, taint, cordoned)| MadeNode { cpu: cpu * 500, pods, zone, taint, cordoned })
}

fn made_pod() -> impl Strategy<Value = MadePod> {
    let rare = |inner| proptest::option::weighted(0.25, inner);
    (
        0..5_i64,
        0..3_u8,
        proptest::option::weighted(0.15, 0..3_u8),
        any::<bool>(),
        proptest::bool::weighted(0.1),
        proptest::option::weighted(0.25, (0..3_u8, any::<bool>())),
        proptest::option::weighted(0.15, 0..3_u8),
        rare(1..3_i32),
    )
        .prop_map(|(cpu, app, zone, tolerates, host_port, anti, with, skew)| MadePod {
            cpu: cpu * 250,
            app,
            zone,
            tolerates,
            host_port,
            anti,
            with,
            skew,
        })
}

const ZONE: &str = "zone";
const HOST: &str = "kubernetes.io/hostname";

fn to_node(index: usize, made: &MadeNode) -> Node {
    let zone = made.zone.map(|zone| format!("z{zone}"));
    let labels: Vec<(&str, &str)> = zone.iter().map(|zone| (ZONE, zone.as_str())).collect();
    let mut node = node(&format!("n{index}"), &format!("{}m", made.cpu), "64Gi", made.pods, &labels);
    let taint = Taint { key: "k".into(), effect: "NoSchedule".into(), ..Taint::default() };
    node.spec = Some(NodeSpec {
        taints: made.taint.then(|| vec![taint]),
        unschedulable: Some(made.cordoned),
        ..NodeSpec::default()
    });
    node
}

fn to_pod(index: usize, made: &MadePod) -> Pod {
    let app = format!("a{}", made.app);
    let mut pod = pod(&format!("p{index}"), &[("cpu", &format!("{}m", made.cpu))], &[("app", &app)]);
    let spec = pod.spec.as_mut().unwrap();
    spec.node_selector = made.zone.map(|zone| [(ZONE.to_owned(), format!("z{zone}"))].into());
    spec.tolerations = made
        .tolerates
        .then(|| vec![Toleration { key: Some("k".into()), operator: Some("Exists".into()), ..Toleration::default() }]);
    if made.host_port {
        let port =
            k8s_openapi::api::core::v1::ContainerPort { host_port: Some(80), container_port: 80, ..Default::default() };
        spec.containers[0].ports = Some(vec![port]);
    }
    let term = |app: u8, key: &str| PodAffinityTerm {
        label_selector: selector("app", &format!("a{app}")),
        topology_key: key.to_owned(),
        ..PodAffinityTerm::default()
    };
    spec.affinity = Some(Affinity {
        pod_anti_affinity: made.anti.map(|(app, by_zone)| PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term(
                app,
                if by_zone { ZONE } else { HOST },
            )]),
            ..PodAntiAffinity::default()
        }),
        pod_affinity: made.with.map(|app| PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term(app, ZONE)]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    });
    spec.topology_spread_constraints = made.skew.map(|max_skew| {
        vec![TopologySpreadConstraint {
            max_skew,
            topology_key: ZONE.into(),
            when_unsatisfiable: "DoNotSchedule".into(),
            label_selector: selector("app", &app),
            ..TopologySpreadConstraint::default()
        }]
    });
    pod
}

/// Says by brute force whether `pod` may go to `nodes[to]`, given where the others are.
fn oracle(nodes: &[MadeNode], placed: &[(MadePod, usize)], pod: &MadePod, to: usize) -> bool {
    let node = &nodes[to];
    let here = || placed.iter().filter(|(_, at)| *at == to).map(|(other, _)| other);
    let place = |at: usize, by_zone: bool| if by_zone { nodes[at].zone.map(usize::from) } else { Some(at) };
    let together = |a: usize, b: usize, by_zone| place(a, by_zone).is_some() && place(a, by_zone) == place(b, by_zone);
    let fits = here().map(|other| other.cpu).sum::<i64>() + pod.cpu <= node.cpu && here().count() < node.pods as usize;
    let wanted = !node.cordoned && (!node.taint || pod.tolerates) && (pod.zone.is_none() || pod.zone == node.zone);
    let port_free = !pod.host_port || here().all(|other| !other.host_port);
    let apart = |mine: &MadePod, my_node: usize, other: &MadePod, other_node: usize| {
        mine.anti.is_none_or(|(app, by_zone)| other.app != app || !together(my_node, other_node, by_zone))
    };
    let company = placed.iter().all(|(other, at)| apart(pod, to, other, *at) && apart(other, *at, pod, to));
    let affinity = pod.with.is_none_or(|app| {
        let friends = || placed.iter().filter(|(other, at)| other.app == app && nodes[*at].zone.is_some());
        node.zone.is_some()
            && (friends().any(|(_, at)| together(to, *at, true)) || (friends().count() == 0 && pod.app == app))
    });
    let spread = pod.skew.is_none_or(|skew| {
        let Some(zone) = node.zone else { return false };
        let counted = |other: &MadeNode| other.zone.filter(|z| pod.zone.is_none_or(|wanted| wanted == *z));
        let count = |zone: u8| {
            placed.iter().filter(|(other, at)| other.app == pod.app && counted(&nodes[*at]) == Some(zone)).count()
        };
        let least = nodes.iter().filter_map(counted).map(count).min().unwrap_or(0);
        count(zone) < least + usize::try_from(skew).unwrap()
    });
    fits && wanted && port_free && company && affinity && spread
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn placements_agree_with_brute_force(
        nodes in proptest::collection::vec(made_node(), 1..8),
        pods in proptest::collection::vec(made_pod(), 1..25),
    ) {
        let mut state = ClusterState::default();
        for (index, node) in nodes.iter().enumerate() {
            state.set_node(&to_node(index, node));
        }
        let mut placed: Vec<(MadePod, usize)> = Vec::new();
        for (index, made) in pods.iter().enumerate() {
            let allowed: Vec<usize> = (0..nodes.len()).filter(|to| oracle(&nodes, &placed, made, *to)).collect();
            match schedule(&mut state, &to_pod(index, made)) {
                Ok(name) => {
                    let at: usize = name[1..].parse().unwrap();
                    prop_assert!(allowed.contains(&at), "{made:?} went to {at}, allowed {allowed:?}");
                    placed.push((made.clone(), at));
                }
                Err(message) => prop_assert!(allowed.is_empty(), "{made:?} could go to {allowed:?}: {message}"),
            }
            // Now and then a pod goes.
            if index % 5 == 4 && !placed.is_empty() {
                let gone = state.take(&format!("p{}", index - 4));
                if let Some(gone) = gone {
                    let at: usize = state.node(gone.node).unwrap().name[1..].parse().unwrap();
                    let app = format!("a{}", pods[index - 4].app);
                    prop_assert_eq!(&gone.info.class.labels["app"], &app);
                    let position = placed.iter().position(|(made, node)| {
                        *node == at && format!("{made:?}") == format!("{:?}", pods[index - 4])
                    });
                    placed.remove(position.unwrap());
                }
            }
        }
    }
}

/// Prints how fast cycles are; the number depends on the machine and is no assertion.
#[test]
fn cycles_per_second() {
    if std::env::var_os("SKEP_BENCH").is_none() {
        return;
    }
    let mut state = ClusterState::default();
    for n in 0..5000 {
        state.set_node(&node(&format!("n{n}"), "32", "256Gi", 110, &[(ZONE, &format!("z{}", n % 3))]));
    }
    let mut finder = Finder::new(1);
    let mut template = pending(&mut state, &pod("p", &[("cpu", "100m"), ("memory", "64Mi")], &[("app", "a")]));
    template.soft_spread = Vec::new();
    let start = tokio::time::Instant::now();
    let count = 20_000;
    for n in 0..count {
        let info = PodInfo { uid: n.to_string(), ..(*template.info).clone() };
        template.info = Arc::new(info);
        let found = finder.find(&state, &template).unwrap();
        let name = state.node(found).unwrap().name.clone();
        state.place(Arc::clone(&template.info), &name, true);
    }
    println!("{:.0} pods/s", f64::from(count) / start.elapsed().as_secs_f64());
}
