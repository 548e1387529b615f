//! Sums what objects use of a quota's limits. From pods, claims and services; to [`super`]. Pure.

use crate::pod_state;
use crate::quantity::Quantity;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Quantity>;

/// Amounts by the names of limits.
#[derive(Clone, Debug, Default)]
pub struct Usage(Amounts);

/// The kind (`plural.group`) of which a limit counts objects, unless it is summed here.
pub fn counted_kind(limit: &str) -> Option<&str> {
    match limit {
        "secrets" | "configmaps" | "replicationcontrollers" | "resourcequotas" => Some(limit),
        "count/pods" | "count/services" | "count/persistentvolumeclaims" => None,
        _ => limit.strip_prefix("count/"),
    }
}

impl Usage {
    /// What is used of each limit that is not counted by kind.
    pub fn of(&self, hard: &BTreeMap<String, ApiQuantity>) -> BTreeMap<String, ApiQuantity> {
        hard.keys()
            .filter(|limit| counted_kind(limit).is_none())
            .map(|limit| (limit.clone(), ApiQuantity(self.0.get(limit).copied().unwrap_or_default().to_string())))
            .collect()
    }

    fn add(&mut self, limit: &str, amount: Quantity) {
        let sum = self.0.entry(limit.to_owned()).or_default();
        *sum = sum.plus(amount);
    }

    /// Counts a pod; one that has ended, or should have, takes no resources.
    pub fn add_pod(&mut self, pod: &Pod, now: &Time) {
        self.add("count/pods", Quantity::count(1));
        if pod_state::is_finished(pod) || is_overdue(pod, now) {
            return;
        }
        self.add("pods", Quantity::count(1));
        let Some(spec) = &pod.spec else { return };
        let init = spec.init_containers.as_deref().unwrap_or_default();
        for limits in [false, true] {
            let mut amounts = total(&spec.containers, init, limits);
            for (name, amount) in amounts_of(spec.overhead.as_ref()) {
                let sum = amounts.entry(name).or_default();
                *sum = sum.plus(amount);
            }
            for (name, amount) in amounts {
                if limits {
                    self.add(&format!("limits.{name}"), amount);
                } else {
                    self.add(&format!("requests.{name}"), amount);
                    if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
                    {
                        self.add(&name, amount);
                    }
                }
            }
        }
    }

    /// Counts a claim, also for its class.
    pub fn add_claim(&mut self, claim: &PersistentVolumeClaim) {
        let spec = claim.spec.as_ref();
        let requests = spec.and_then(|spec| spec.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
        let storage = amounts_of(requests).remove("storage").unwrap_or_default();
        self.add("count/persistentvolumeclaims", Quantity::count(1));
        self.add("persistentvolumeclaims", Quantity::count(1));
        self.add("requests.storage", storage);
        if let Some(class) = spec.and_then(|spec| spec.storage_class_name.as_deref()).filter(|class| !class.is_empty())
        {
            self.add(&format!("{class}.storageclass.storage.k8s.io/requests.storage"), storage);
            let claims = format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims");
            self.add(&claims, Quantity::count(1));
        }
    }

    /// Counts a service, its node ports and load balancers.
    pub fn add_service(&mut self, service: &Service) {
        let Some(spec) = &service.spec else { return };
        self.add("count/services", Quantity::count(1));
        self.add("services", Quantity::count(1));
        let ports = spec.ports.as_deref().unwrap_or_default();
        match spec.type_.as_deref() {
            Some("NodePort") => self.add("services.nodeports", Quantity::count(ports.len())),
            Some("LoadBalancer") => {
                let allocated = spec.allocate_load_balancer_node_ports != Some(false);
                let count =
                    ports.iter().filter(|port| allocated || port.node_port.is_some_and(|port| port > 0)).count();
                self.add("services.nodeports", Quantity::count(count));
                self.add("services.loadbalancers", Quantity::count(1));
            }
            Some(_) | None => {}
        }
    }
}

fn is_overdue(pod: &Pod, now: &Time) -> bool {
    let Some(deleted) = &pod.metadata.deletion_timestamp else { return false };
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    deleted.0.checked_add(grace).is_ok_and(|due| now.0 > due)
}

fn amounts_of(list: Option<&BTreeMap<String, ApiQuantity>>) -> Amounts {
    let list = list.into_iter().flatten();
    list.filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(&amount.0)?))).collect()
}

/// Containers together, or the largest init container with the sidecars started before it, whichever is more.
fn total(containers: &[Container], init: &[Container], limits: bool) -> Amounts {
    let amounts = |container: &Container| {
        let resources = container.resources.as_ref();
        amounts_of(resources.and_then(|r| if limits { r.limits.as_ref() } else { r.requests.as_ref() }))
    };
    let join = |sum: &mut Amounts, more: Amounts, how: fn(Quantity, Quantity) -> Quantity| {
        for (name, amount) in more {
            let entry = sum.entry(name).or_default();
            *entry = how(*entry, amount);
        }
    };
    let mut sum = Amounts::new();
    for container in containers {
        join(&mut sum, amounts(container), Quantity::plus);
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in init {
        let mut running = amounts(container);
        if container.restart_policy.as_deref() == Some("Always") {
            join(&mut sidecars, running, Quantity::plus);
            running = sidecars.clone();
        } else {
            join(&mut running, sidecars.clone(), Quantity::plus);
        }
        join(&mut peak, running, Quantity::max);
    }
    join(&mut sum, sidecars, Quantity::plus);
    join(&mut sum, peak, Quantity::max);
    sum
}

/// Whether a quota's scopes cover a pod.
pub fn in_scope(quota: &ResourceQuota, pod: &Pod) -> bool {
    let Some(spec) = &quota.spec else { return false };
    let plain = spec.scopes.iter().flatten().map(|scope| (scope.as_str(), "Exists", &[][..]));
    let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
    let selected = selected.map(|expression| {
        (expression.scope_name.as_str(), expression.operator.as_str(), expression.values.as_deref().unwrap_or_default())
    });
    plain.chain(selected).all(|(scope, operator, values)| covers(scope, operator, values, pod))
}

fn covers(scope: &str, operator: &str, values: &[String], pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ends = spec.active_deadline_seconds.is_some();
    let best_effort = || {
        let quality = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
        quality.map_or_else(
            || total(&spec.containers, &[], false).is_empty() && total(&spec.containers, &[], true).is_empty(),
            |quality| quality == "BestEffort",
        )
    };
    match scope {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = spec.priority_class_name.as_ref().filter(|class| !class.is_empty());
            match operator {
                "Exists" => class.is_some(),
                "DoesNotExist" => class.is_none(),
                "In" => class.is_some_and(|class| values.contains(class)),
                "NotIn" => class.is_none_or(|class| !values.contains(class)),
                _ => false,
            }
        }
        "CrossNamespacePodAffinity" => reaches_other_namespaces(pod),
        _ => false,
    }
}

fn reaches_other_namespaces(pod: &Pod) -> bool {
    let Some(affinity) = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()) else { return false };
    let mut terms = Vec::new();
    if let Some(with) = &affinity.pod_affinity {
        terms.extend(with.required_during_scheduling_ignored_during_execution.iter().flatten());
        let preferred = with.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        terms.extend(preferred.map(|term| &term.pod_affinity_term));
    }
    if let Some(apart) = &affinity.pod_anti_affinity {
        terms.extend(apart.required_during_scheduling_ignored_during_execution.iter().flatten());
        let preferred = apart.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        terms.extend(preferred.map(|term| &term.pod_affinity_term));
    }
    terms
        .iter()
        .any(|term| term.namespaces.as_ref().is_some_and(|n| !n.is_empty()) || term.namespace_selector.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus, ResourceRequirements, ServicePort, ServiceSpec};

    #[test]
    fn usage_is_summed_by_limit() {
        let list = |pairs: &[(&str, &str)]| -> Option<BTreeMap<String, ApiQuantity>> {
            Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), ApiQuantity((*v).into()))).collect())
        };
        let resources = Some(ResourceRequirements {
            requests: list(&[("cpu", "600m")]),
            limits: list(&[("memory", "100Mi")]),
            ..ResourceRequirements::default()
        });
        let container = Container { resources, ..Container::default() };
        let mut pod =
            Pod { spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }), ..Pod::default() };
        let now = crate::cluster::now();
        let mut usage = Usage::default();
        usage.add_pod(&pod, &now);
        pod.status = Some(PodStatus { phase: Some("Succeeded".into()), ..PodStatus::default() });
        usage.add_pod(&pod, &now);
        let ports = Some(vec![ServicePort::default(), ServicePort::default()]);
        let spec = ServiceSpec { type_: Some("NodePort".into()), ports, ..ServiceSpec::default() };
        usage.add_service(&Service { spec: Some(spec), ..Service::default() });
        let hard: BTreeMap<String, ApiQuantity> = [
            "pods",
            "count/pods",
            "requests.cpu",
            "cpu",
            "limits.memory",
            "services.nodeports",
            "secrets",
            "requests.memory",
        ]
        .map(|limit| (limit.to_owned(), ApiQuantity("9".into())))
        .into();
        let used: Vec<String> = usage.of(&hard).into_iter().map(|(name, q)| format!("{name}={}", q.0)).collect();
        assert_eq!(
            used,
            [
                "count/pods=2",
                "cpu=600m",
                "limits.memory=100Mi",
                "pods=1",
                "requests.cpu=600m",
                "requests.memory=0",
                "services.nodeports=2"
            ]
        );
    }
}
