//! Questions every part asks of a pod spec, with the API's defaults for specs that never met the API server (static
//! pods); from [`pod_source`](crate::pod_source); to all that follow. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, Probe};
use sha2::{Digest as _, Sha256};

use crate::quantity;

/// Annotation of static and mirror pods: digest of the manifest.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Annotation naming where the pod came from (`file`, `api`).
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation of the API object that mirrors a static pod; holds that pod's [`CONFIG_HASH`].
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// Which list of the pod spec a container comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs to completion before the app containers.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// `spec.containers`.
    App,
    /// Added to a running pod by `kubectl debug`.
    Ephemeral,
}

/// Quality of service, from requests and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Every container has equal requests and limits of cpu and memory.
    Guaranteed,
    /// Some container requests or limits something.
    Burstable,
    /// Nothing is requested.
    BestEffort,
}

impl Qos {
    /// As in `status.qosClass`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// `metadata.name`, empty when absent.
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// `metadata.namespace`, `default` when absent.
pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// `metadata.uid`, empty when absent.
pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// `NAME_NAMESPACE(UID)`: how messages name a pod.
pub fn formatted(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// The spec; an empty one for an object without.
pub fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// An annotation's value.
pub fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether the kubelet itself read this pod from a manifest (not from the API).
pub fn is_static(pod: &Pod) -> bool {
    annotation(pod, CONFIG_SOURCE).is_some_and(|source| source != "api") && annotation(pod, CONFIG_MIRROR).is_none()
}

/// `Always` unless the spec says otherwise.
pub fn restart_policy(pod: &Pod) -> &str {
    spec(pod).restart_policy.as_deref().unwrap_or("Always")
}

/// Whether the pod shares the node's network namespace.
pub fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// `spec.terminationGracePeriodSeconds`, 30 when absent.
pub fn grace_seconds(pod: &Pod) -> i64 {
    spec(pod).termination_grace_period_seconds.unwrap_or(30)
}

/// Init containers, sidecars among them, in order.
pub fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

/// Whether an init container is a sidecar (keeps running, restarts).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Ephemeral containers in the shape of ordinary ones.
pub fn ephemeral_containers(pod: &Pod) -> Vec<Container> {
    spec(pod).ephemeral_containers.iter().flatten().map(as_container).collect()
}

/// Every container of the pod with its role, in order of start.
pub fn containers(pod: &Pod) -> Vec<(Role, Container)> {
    let init = init_containers(pod).iter().map(|c| (if is_sidecar(c) { Role::Sidecar } else { Role::Init }, c.clone()));
    let app = spec(pod).containers.iter().map(|c| (Role::App, c.clone()));
    let ephemeral = ephemeral_containers(pod).into_iter().map(|c| (Role::Ephemeral, c));
    init.chain(app).chain(ephemeral).collect()
}

/// The container of that name with its role.
pub fn find_container(pod: &Pod, name: &str) -> Option<(Role, Container)> {
    containers(pod).into_iter().find(|(_, container)| container.name == name)
}

fn as_container(ephemeral: &EphemeralContainer) -> Container {
    Container {
        args: ephemeral.args.clone(),
        command: ephemeral.command.clone(),
        env: ephemeral.env.clone(),
        env_from: ephemeral.env_from.clone(),
        image: ephemeral.image.clone(),
        image_pull_policy: ephemeral.image_pull_policy.clone(),
        name: ephemeral.name.clone(),
        security_context: ephemeral.security_context.clone(),
        stdin: ephemeral.stdin,
        stdin_once: ephemeral.stdin_once,
        termination_message_path: ephemeral.termination_message_path.clone(),
        termination_message_policy: ephemeral.termination_message_policy.clone(),
        tty: ephemeral.tty,
        volume_mounts: ephemeral.volume_mounts.clone(),
        working_dir: ephemeral.working_dir.clone(),
        ..Container::default()
    }
}

/// What identifies a container's definition: a change of it restarts the container. As upstream: name and image.
pub fn container_hash(container: &Container) -> String {
    let mut hasher = Sha256::new();
    hasher.update(container.name.as_bytes());
    hasher.update([0]);
    hasher.update(container.image.as_deref().unwrap_or_default().as_bytes());
    hasher.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Pull policy: the spec's, else `Always` for `latest` and `IfNotPresent` for other references.
pub fn pull_policy(container: &Container) -> &str {
    container.image_pull_policy.as_deref().unwrap_or_else(|| {
        let image = container.image.as_deref().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        let latest = !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
        if latest { "Always" } else { "IfNotPresent" }
    })
}

/// The number of a probe, with upstream's default when absent or zero.
pub fn probe_number(value: Option<i32>, default: i32) -> u32 {
    let value = value.filter(|value| *value > 0).unwrap_or(default);
    u32::try_from(value).unwrap_or(1)
}

/// Whether the probe has any action.
pub fn probe_has_action(probe: &Probe) -> bool {
    probe.exec.is_some() || probe.grpc.is_some() || probe.http_get.is_some() || probe.tcp_socket.is_some()
}

/// Quality of service of the pod by its containers' requests and limits.
pub fn qos(pod: &Pod) -> Qos {
    if let Some(class) = pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        match class {
            "Guaranteed" => return Qos::Guaranteed,
            "Burstable" => return Qos::Burstable,
            "BestEffort" => return Qos::BestEffort,
            _ => {}
        }
    }
    let mut any = false;
    let mut guaranteed = true;
    for container in spec(pod).containers.iter().chain(init_containers(pod)) {
        let resources = container.resources.clone().unwrap_or_default();
        let (requests, limits) = (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
        for resource in ["cpu", "memory"] {
            let amount = |map: &BTreeMap<_, _>| map.get(resource).and_then(quantity::milli_value).filter(|n| *n > 0);
            let (request, limit) = (amount(&requests), amount(&limits));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

#[cfg(test)]
mod tests;
