//! Which pods stand behind a Service, and on which ports. From Services and pods; to Endpoints and EndpointSlices. Pure.

use crate::label_match::Selector;
use crate::pod_state;
use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// Label of headless Services' endpoints.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation with the time of the pod or service change that an update follows.
pub const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The selector of a Service whose endpoints are found by selector; `None` for others.
pub fn selector(service: &Service) -> Option<Selector> {
    let spec = service.spec.as_ref()?;
    let labels = spec.selector.as_ref().filter(|labels| !labels.is_empty())?;
    (spec.type_.as_deref() != Some("ExternalName")).then(|| Selector::of_labels(labels))
}

/// Whether the Service has no cluster IP.
pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// Whether endpoints count as ready whatever the pods say.
pub fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// Addresses of a pod.
pub fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all: Vec<&str> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).filter(|ip| !ip.is_empty()).collect();
    if all.is_empty() { status.pod_ip.as_deref().filter(|ip| !ip.is_empty()).into_iter().collect() } else { all }
}

/// `IPv4` or `IPv6`.
pub fn family(address: &str) -> &'static str {
    if address.contains(':') { "IPv6" } else { "IPv4" }
}

/// Whether the pod can be an endpoint at all.
pub fn is_endpoint(pod: &Pod, include_terminating: bool) -> bool {
    !pod_state::is_finished(pod)
        && !addresses(pod).is_empty()
        && (include_terminating || !pod_state::is_terminating(pod))
}

/// The number of the pod's port that a Service port stands for; `None` when the pod has no such port.
pub fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(if *number == 0 { port.port } else { *number }),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars =
        spec.init_containers.iter().flatten().filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let protocol = protocol(port.protocol.as_deref());
    let found = |container: &Container| {
        let mut ports = container.ports.iter().flatten();
        ports
            .find(|candidate| {
                candidate.name.as_ref() == Some(name) && self::protocol(candidate.protocol.as_deref()) == protocol
            })
            .map(|candidate| candidate.container_port)
    };
    spec.containers.iter().chain(sidecars).find_map(found)
}

/// The protocol, TCP if not given.
pub fn protocol(protocol: Option<&str>) -> &str {
    protocol.unwrap_or("TCP")
}

/// The hostname to publish for the pod under this Service (StatefulSets have them).
pub fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.as_ref().filter(|hostname| !hostname.is_empty())?;
    (spec.subdomain.is_some() && spec.subdomain == service.metadata.name).then(|| hostname.clone())
}

/// Labels of the Service that its endpoints get.
pub fn copied_labels(service: &Service, dropped: &[&str]) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = service.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| !dropped.contains(&key.as_str()) && key != HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

/// Whether a change of a pod can change its endpoints.
pub fn is_relevant_change(old: &Pod, new: &Pod) -> bool {
    let spec = |pod: &Pod| {
        pod.spec.as_ref().map(|spec| (spec.node_name.clone(), spec.hostname.clone(), spec.subdomain.clone()))
    };
    addresses(old) != addresses(new)
        || pod_state::is_ready(old) != pod_state::is_ready(new)
        || pod_state::is_finished(old) != pod_state::is_finished(new)
        || pod_state::is_terminating(old) != pod_state::is_terminating(new)
        || old.metadata.labels != new.metadata.labels
        || spec(old) != spec(new)
}
