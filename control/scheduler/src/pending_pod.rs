//! A pod without node and what it asks of one, made ready for checking. From pods; to queue and cycles. Pure.

use crate::pod_info::{PodInfo, owner};
use crate::resources::ResourceNames;
use crate::selectors::{Labels, NodeTerm, Requirement, Selector};
use k8s_openapi::api::core::v1::{Pod, Toleration, TopologySpreadConstraint};
use std::sync::Arc;

/// Node label with the host.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// A pod that waits for a node.
#[derive(Clone, Debug)]
pub struct PendingPod {
    pub info: Arc<PodInfo>,
    /// Labels that the node must have.
    pub node_selector: Selector,
    /// Terms of which the node must meet one; `None` when there is no such rule.
    pub node_terms: Option<Vec<NodeTerm>>,
    /// Weighted terms that the node should meet.
    pub preferred_node_terms: Vec<(i64, NodeTerm)>,
    pub tolerations: Vec<Toleration>,
    /// Rules that forbid an uneven spread.
    pub hard_spread: Vec<SpreadRule>,
    /// Rules that prefer an even spread.
    pub soft_spread: Vec<SpreadRule>,
    /// Whether the pod has spread rules itself, or none, or only the defaults.
    pub own_spread: bool,
    pub images: Vec<String>,
    /// Whether it never takes the place of others.
    pub never_preempts: bool,
    pub generation: Option<i64>,
    /// The node on which room was made for it.
    pub nominated: Option<String>,
    /// Names of gates that hold it back.
    pub gates: Vec<String>,
    /// Claims for volumes that it uses.
    pub claims: Vec<String>,
    /// For events.
    pub resource_version: Option<String>,
    /// Condition `PodScheduled` as it is: reason and message.
    pub told: Option<(String, String)>,
    /// Milliseconds since the epoch, for first-come order.
    pub created: i64,
}

/// A rule about spreading over places.
#[derive(Clone, Debug)]
pub struct SpreadRule {
    pub key: String,
    pub max_skew: i64,
    pub min_domains: i64,
    pub counted: Counted,
    pub honor_affinity: bool,
    pub honor_taints: bool,
}

/// The pods that a spread rule counts, in the pod's namespace.
#[derive(Clone, Debug)]
pub enum Counted {
    /// By labels.
    Selector(Selector),
    /// By controlling owner.
    Owner(String),
}

impl PendingPod {
    /// From a pod.
    pub fn of(pod: &Pod, names: &mut ResourceNames) -> Self {
        let info = Arc::new(PodInfo::of(pod, names));
        let spec = pod.spec.clone().unwrap_or_default();
        let node_affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            node_affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred = node_affinity
            .into_iter()
            .flat_map(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten());
        let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
        let rules = |action: &str| {
            let labels = &info.class.labels;
            constraints
                .iter()
                .filter(|rule| rule.when_unsatisfiable == action)
                .map(|rule| spread_rule(rule, labels))
                .collect()
        };
        let volumes = spec.volumes.iter().flatten();
        let pod_name = pod.metadata.name.clone().unwrap_or_default();
        Self {
            node_selector: Selector::of_labels(spec.node_selector.iter().flatten()),
            node_terms: required.map(|required| required.node_selector_terms.iter().filter_map(NodeTerm::of).collect()),
            preferred_node_terms: preferred
                .filter_map(|term| Some((i64::from(term.weight), NodeTerm::of(&term.preference)?)))
                .collect(),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            hard_spread: rules("DoNotSchedule"),
            soft_spread: rules("ScheduleAnyway"),
            own_spread: !constraints.is_empty(),
            images: spec.containers.iter().filter_map(|container| container.image.as_deref().map(with_tag)).collect(),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            generation: pod.metadata.generation,
            nominated: pod
                .status
                .as_ref()
                .and_then(|status| status.nominated_node_name.clone())
                .filter(|n| !n.is_empty()),
            gates: spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect(),
            claims: volumes
                .filter_map(|volume| {
                    let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
                    claim.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{pod_name}-{}", volume.name)))
                })
                .collect(),
            told: pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
                .map(|told| (told.reason.clone().unwrap_or_default(), told.message.clone().unwrap_or_default())),
            resource_version: pod.metadata.resource_version.clone(),
            created: pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_millisecond()),
            info,
        }
    }

    /// Whether node selector and required node affinity allow a node.
    pub fn accepts_node(&self, labels: &Labels, name: &str) -> bool {
        self.node_selector.matches(labels)
            && self.node_terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(labels, name)))
    }

    /// The only nodes that can be accepted, when every term names them (pods of DaemonSets).
    pub fn only_nodes(&self) -> Option<Vec<&str>> {
        let terms = self.node_terms.as_ref()?;
        let mut names = Vec::new();
        for term in terms {
            names.extend(term.node_names()?);
        }
        (!terms.is_empty()).then_some(names)
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.info.namespace, self.info.name)
    }
}

fn spread_rule(rule: &TopologySpreadConstraint, labels: &Labels) -> SpreadRule {
    let mut selector = Selector::of(rule.label_selector.as_ref());
    for key in rule.match_label_keys.iter().flatten() {
        if let Some(value) = labels.get(key) {
            selector.0.push(Requirement::In(key.clone(), vec![value.clone()]));
        }
    }
    SpreadRule {
        key: rule.topology_key.clone(),
        max_skew: i64::from(rule.max_skew),
        min_domains: i64::from(rule.min_domains.unwrap_or(1)),
        counted: Counted::Selector(selector),
        honor_affinity: rule.node_affinity_policy.as_deref() != Some("Ignore"),
        honor_taints: rule.node_taints_policy.as_deref() == Some("Honor"),
    }
}

/// The spread rules of a pod that has none itself: over hosts and zones, with the other pods of its owner or Services.
pub fn default_spread(pod: &Pod, services: impl Iterator<Item = Selector>) -> Vec<SpreadRule> {
    let counted = if let Some(owner) = owner(pod) {
        Counted::Owner(owner.uid.clone())
    } else {
        let merged: Vec<Requirement> = services.flat_map(|selector| selector.0).collect();
        if merged.is_empty() {
            return Vec::new();
        }
        Counted::Selector(Selector(merged))
    };
    let rule = |key: &str, max_skew| SpreadRule {
        key: key.to_owned(),
        max_skew,
        min_domains: 1,
        counted: counted.clone(),
        honor_affinity: true,
        honor_taints: false,
    };
    vec![rule(HOSTNAME, 3), rule("topology.kubernetes.io/zone", 5)]
}

fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains(':') || name.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}
