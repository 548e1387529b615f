//! What scheduling needs to know about a pod, small enough to keep for every pod. From pods; to [`crate::cluster_state`].
//! Pure.

use crate::resources::{PodRequests, ResourceNames};
use crate::selectors::{Labels, Selector};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use std::sync::Arc;

/// A port that a pod takes on its node's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address, `0.0.0.0` for all.
    pub ip: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == "0.0.0.0" || other.ip == "0.0.0.0")
    }
}

/// A term of pod (anti-)affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodTerm {
    /// The pods that the term is about.
    pub selector: Selector,
    /// Their namespaces by name.
    pub namespaces: Vec<String>,
    /// Their namespaces by label.
    pub namespace_selector: Option<Selector>,
    /// Node label whose values are the places.
    pub topology_key: String,
    /// Weight of a preferred term; 0 for a required one.
    pub weight: i32,
}

impl PodTerm {
    fn of(term: &PodAffinityTerm, weight: i32, namespace: &str) -> Self {
        let namespace_selector = term.namespace_selector.as_ref().map(|selector| Selector::of(Some(selector)));
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.push(namespace.to_owned());
        }
        Self {
            selector: Selector::of(term.label_selector.as_ref()),
            namespaces,
            namespace_selector,
            topology_key: term.topology_key.clone(),
            weight,
        }
    }

    /// Whether the term is about pods with these labels in this namespace.
    pub fn matches(&self, namespace: &str, namespace_labels: Option<&Labels>, labels: &Labels) -> bool {
        let of_namespace = self.namespaces.iter().any(|name| name == namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                namespace_labels.map_or_else(|| selector.0.is_empty(), |labels| selector.matches(labels))
            });
        of_namespace && self.selector.matches(labels)
    }
}

/// All affinity terms of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodTerms {
    pub required: Vec<PodTerm>,
    pub preferred: Vec<PodTerm>,
    pub required_anti: Vec<PodTerm>,
    pub preferred_anti: Vec<PodTerm>,
}

impl PodTerms {
    fn of(pod: &Pod, namespace: &str) -> Self {
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        let mut terms = Self::default();
        if let Some(with) = affinity.and_then(|affinity| affinity.pod_affinity.as_ref()) {
            let required = with.required_during_scheduling_ignored_during_execution.iter().flatten();
            terms.required = required.map(|term| PodTerm::of(term, 0, namespace)).collect();
            let preferred = with.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            terms.preferred =
                preferred.map(|term| PodTerm::of(&term.pod_affinity_term, term.weight, namespace)).collect();
        }
        if let Some(apart) = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref()) {
            let required = apart.required_during_scheduling_ignored_during_execution.iter().flatten();
            terms.required_anti = required.map(|term| PodTerm::of(term, 0, namespace)).collect();
            let preferred = apart.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            terms.preferred_anti =
                preferred.map(|term| PodTerm::of(&term.pod_affinity_term, term.weight, namespace)).collect();
        }
        terms
    }

    /// Whether there is no term.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.preferred.is_empty()
            && self.required_anti.is_empty()
            && self.preferred_anti.is_empty()
    }
}

/// What pods of one template have in common. Rules about other pods look at classes, not at each pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodClass {
    pub namespace: String,
    pub labels: Labels,
    /// Uid of the controlling owner.
    pub owner: Option<String>,
    pub terms: PodTerms,
    /// Whether the pods were told to go.
    pub terminating: bool,
}

/// A pod on a node, or to be put on one.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub priority: i32,
    pub requests: PodRequests,
    pub host_ports: Vec<HostPort>,
    pub class: Arc<PodClass>,
    /// When it started; pods that run longer are spared by preemption.
    pub started: Option<Timestamp>,
}

impl PodInfo {
    /// From a pod.
    pub fn of(pod: &Pod, names: &mut ResourceNames) -> Self {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let class = PodClass {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            owner: owner(pod).map(|owner| owner.uid.clone()),
            terms: PodTerms::of(pod, &namespace),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            namespace: namespace.clone(),
        };
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace,
            name: pod.metadata.name.clone().unwrap_or_default(),
            priority: pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0),
            requests: PodRequests::of(pod, names),
            host_ports: host_ports(pod),
            class: Arc::new(class),
            started: pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0),
        }
    }
}

/// The controlling owner of a pod.
pub fn owner(pod: &Pod) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecars =
        spec.init_containers.iter().flatten().filter(|init| init.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some(HostPort { ip, protocol, port: number })
        })
        .collect()
}
