use super::*;
use crate::resources::CPU;
use k8s_openapi::api::core::v1::{Container, NodeStatus, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

fn node(name: &str, zone: Option<&str>) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: zone.map(|zone| [("zone".to_owned(), zone.to_owned())].into()),
            ..ObjectMeta::default()
        },
        status: Some(NodeStatus {
            allocatable: Some([("cpu".into(), Quantity("4".into())), ("pods".into(), Quantity("9".into()))].into()),
            ..NodeStatus::default()
        }),
        ..Node::default()
    }
}

fn pod(state: &mut ClusterState, uid: &str, app: &str) -> Arc<PodInfo> {
    let requests = Some([("cpu".into(), Quantity("500m".into()))].into());
    let resources = Some(ResourceRequirements { requests, ..ResourceRequirements::default() });
    let pod = Pod {
        metadata: ObjectMeta {
            uid: Some(uid.into()),
            labels: Some([("app".to_owned(), app.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { containers: vec![Container { resources, ..Container::default() }], ..PodSpec::default() }),
        status: None,
    };
    Arc::new(PodInfo::of(&pod, &mut state.names))
}

#[test]
fn numbers_follow_pods_and_nodes() {
    let mut state = ClusterState::default();
    let early = pod(&mut state, "early", "a");
    state.place(early, "n1", false);
    assert_eq!(state.row("n1"), None, "only a pod says so");
    let n1 = state.set_node(&node("n1", Some("z1")));
    state.use_topology("zone");
    let n2 = state.set_node(&node("n2", Some("z2")));
    let next = pod(&mut state, "next", "a");
    state.place(next, "n1", true);
    assert_eq!(state.requested.get(CPU, n1), 1000);
    assert_eq!(state.allocatable.get(CPU, n1), 4000);
    assert_eq!(state.node(n1).map(|node| node.allowed_pods), Some(9));
    let classes: Vec<_> = state.classes().map(|row| row.counts.clone()).collect();
    assert_eq!(classes, [HashMap::from([(n1, 2)])]);
    let moved = pod(&mut state, "next", "a");
    state.place(moved, "n2", false);
    assert_eq!((state.requested.get(CPU, n1), state.requested.get(CPU, n2)), (500, 500));
    assert_eq!(state.topology("zone").map(|zones| (zones.value(n1), zones.value(n2))), Some((0, 1)));
    state.set_node(&node("n1", None));
    assert_eq!(state.topology("zone").map(|zones| zones.value(n1)), Some(NO_VALUE));
    state.remove_node("n2");
    assert_eq!(state.node_count(), 1);
    state.take("next");
    assert_eq!(state.set_node(&node("n3", None)), n2, "the row is used again");
    assert_eq!(state.requested.get(CPU, n2), 0);
}
