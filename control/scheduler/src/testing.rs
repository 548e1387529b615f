//! Nodes and pods for tests.

use crate::cluster_state::ClusterState;
use crate::pending_pod::PendingPod;
use k8s_openapi::api::core::v1::{Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(crate) fn node(name: &str, cpu: &str, memory: &str, pods: u32, labels: &[(&str, &str)]) -> Node {
    let mut all = vec![("kubernetes.io/hostname", name)];
    all.extend(labels);
    let amounts = [("cpu", cpu.to_owned()), ("memory", memory.to_owned()), ("pods", pods.to_string())];
    Node {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some(all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ObjectMeta::default()
        },
        status: Some(NodeStatus {
            allocatable: Some(amounts.into_iter().map(|(k, v)| (k.to_owned(), Quantity(v))).collect()),
            ..NodeStatus::default()
        }),
        ..Node::default()
    }
}

pub(crate) fn pod(name: &str, requests: &[(&str, &str)], labels: &[(&str, &str)]) -> Pod {
    let requests = requests.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect();
    let resources = Some(ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() });
    Pod {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("ns".into()),
            uid: Some(name.into()),
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container { resources, image: Some("i".into()), ..Container::default() }],
            ..PodSpec::default()
        }),
        status: None,
    }
}

pub(crate) fn pending(state: &mut ClusterState, pod: &Pod) -> PendingPod {
    PendingPod::of(pod, &mut state.names)
}
