//! What one object uses: pods by their requests, services by their ports, claims by their size, the rest by number. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use skep_api::kinds::Kind;
use skep_api::quantity::{Format, Quantity};

use super::scopes;
use crate::admission::pod_resources::{Resources, Side, of_pod, quantity};
use crate::json_field::{flag, items, present, text, text_or};

/// Requests and limits that every container must name once a quota bounds them.
const DEMANDED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

/// Use of one object.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    /// Amount by resource name as quotas write it.
    pub(crate) used: Resources,
    is_pod: bool,
}

pub(crate) fn usage_of(kind: &Kind, object: &Value) -> Usage {
    let count = format!("count/{}", kind.group_resource());
    let mut used = Resources::from([(count, one())]);
    let core = kind.group.is_empty();
    match kind.plural.as_str() {
        "pods" if core => pod(object, &mut used),
        "services" if core => service(object, &mut used),
        "persistentvolumeclaims" if core => claim(object, &mut used),
        plural @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets") if core => {
            used.insert(plural.to_owned(), one());
        }
        _ => {}
    }
    Usage { used, is_pod: core && kind.plural == "pods" }
}

impl Usage {
    /// Whether the quota's resource is one this kind of object uses.
    pub(crate) fn counts(&self, resource: &str) -> bool {
        self.used.contains_key(resource)
            || self.is_pod
                && (DEMANDED.contains(&resource)
                    || matches!(
                        resource,
                        "ephemeral-storage" | "requests.ephemeral-storage" | "limits.ephemeral-storage"
                    )
                    || resource.starts_with("hugepages-"))
    }

    /// Whether the quota is about such objects at all.
    pub(crate) fn in_scope(&self, object: &Value, quota: &Value) -> bool {
        let scopes = scopes(quota);
        scopes.iter().all(|(scope, operator, values)| self.is_pod && pod_in_scope(object, scope, operator, values))
    }
}

fn one() -> Quantity {
    Quantity::new(1, Format::DecimalSi)
}

fn number(count: usize) -> Quantity {
    Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi)
}

fn pod(pod: &Value, used: &mut Resources) {
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return;
    }
    used.insert("pods".to_owned(), one());
    for (name, value) in of_pod(pod, Side::Requests) {
        let basic = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        used.insert(format!("requests.{name}"), value);
        if basic {
            used.insert(name, value);
        }
    }
    for (name, value) in of_pod(pod, Side::Limits) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), value);
        }
    }
}

fn service(service: &Value, used: &mut Resources) {
    used.insert("services".to_owned(), one());
    let ports = number(items(service, "/spec/ports").len());
    let zero = Quantity::ZERO;
    let (balancers, node_ports) = match text(service, "/spec/type") {
        "NodePort" => (zero, ports),
        "LoadBalancer" if flag(service, "/spec/allocateLoadBalancerNodePorts") == Some(false) => (one(), zero),
        "LoadBalancer" => (one(), ports),
        _ => (zero, zero),
    };
    used.insert("services.loadbalancers".to_owned(), balancers);
    used.insert("services.nodeports".to_owned(), node_ports);
}

fn claim(claim: &Value, used: &mut Resources) {
    let class = text_or(claim, CLASS, text(claim, "/spec/storageClassName"));
    let of_class = |resource: &str| format!("{class}.storageclass.storage.k8s.io/{resource}");
    let size = claim.pointer("/spec/resources/requests/storage").and_then(quantity);
    let amounts = [("persistentvolumeclaims", Some(one())), ("requests.storage", size)];
    for (name, amount) in amounts {
        let Some(amount) = amount else { continue };
        used.insert(name.to_owned(), amount);
        if !class.is_empty() {
            used.insert(of_class(name), amount);
        }
    }
}

fn pod_in_scope(pod: &Value, scope: &str, operator: &str, values: &[&str]) -> bool {
    let terminating = present(pod, "/spec/activeDeadlineSeconds");
    let best_effort = || of_pod(pod, Side::Requests).is_empty() && of_pod(pod, Side::Limits).is_empty();
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = text(pod, "/spec/priorityClassName");
            match operator {
                "In" => values.contains(&class),
                "NotIn" => !values.contains(&class),
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn crosses_namespaces(pod: &Value) -> bool {
    let terms = |kind: &str| {
        let required = items(pod, &format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution"));
        let preferred = items(pod, &format!("/spec/affinity/{kind}/preferredDuringSchedulingIgnoredDuringExecution"));
        let weighted = preferred.iter().filter_map(|term| term.get("podAffinityTerm"));
        required
            .iter()
            .chain(weighted)
            .any(|term| !items(term, "/namespaces").is_empty() || present(term, "/namespaceSelector"))
    };
    terms("podAffinity") || terms("podAntiAffinity")
}

/// Which demanded resources containers do not name: `limits.memory for: a,b; requests.cpu for: a`; empty when none.
pub(crate) fn missing_requests(pod: &Value, bounded: &[&str]) -> String {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let containers = items(pod, "/spec/containers").iter().chain(items(pod, "/spec/initContainers"));
    for container in containers {
        let (requests, limits) = (Side::Requests.of(container), Side::Limits.of(container));
        for resource in bounded.iter().copied().filter(|resource| DEMANDED.contains(resource)) {
            let named = match resource.split_once('.') {
                Some(("limits", name)) => limits.contains_key(name),
                Some((_, name)) => requests.contains_key(name),
                None => requests.contains_key(resource),
            };
            if !named {
                missing.entry(resource).or_default().push(text(container, "/name"));
            }
        }
    }
    let told: Vec<String> = missing
        .into_iter()
        .map(|(resource, mut names)| {
            names.sort_unstable();
            format!("{resource} for: {}", names.join(","))
        })
        .collect();
    told.join("; ")
}
