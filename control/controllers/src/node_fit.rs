//! Whether a pod template belongs on a node: node selector, node affinity, taints. From pods and nodes; to daemon sets.
//! Pure.

use crate::taints::tolerated;
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration};
use std::collections::BTreeMap;

/// Whether a pod may be started on a node, and whether one that runs there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// May be started.
    pub starts: bool,
    /// May stay.
    pub stays: bool,
}

/// Whether a pod like this, bound by name, belongs on the node.
pub fn fit(spec: &PodSpec, tolerations: &[Toleration], node: &Node) -> Fit {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let named_other = spec.node_name.as_deref().is_some_and(|wanted| !wanted.is_empty() && wanted != name);
    if named_other || !matches_node(spec, node) {
        return Fit { starts: false, stays: false };
    }
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let repelling = |effects: &[&str]| {
        let mut repelling = taints.clone().filter(|taint| effects.contains(&taint.effect.as_str()));
        repelling.any(|taint| !tolerated(tolerations, taint))
    };
    Fit { starts: !repelling(&["NoSchedule", "NoExecute"]), stays: !repelling(&["NoExecute"]) }
}

fn matches_node(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected
        && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| meets(term, &labels, name)))
}

fn meets(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let field = |key: &str| (key == "metadata.name").then(|| name.to_owned());
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|requirement| holds(requirement, labels.get(&requirement.key).cloned()))
        && fields.iter().all(|requirement| holds(requirement, field(&requirement.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let compare = |holds: fn(i64, i64) -> bool| {
        let number = value.as_ref().and_then(|value| value.parse().ok());
        let bound = values.first().and_then(|value| value.parse().ok());
        number.zip(bound).is_some_and(|(number, bound)| holds(number, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(&value)),
        "NotIn" => value.is_none_or(|value| !values.contains(&value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|number, bound| number > bound),
        "Lt" => compare(|number, bound| number < bound),
        _ => false,
    }
}
