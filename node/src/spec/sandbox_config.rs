//! The CRI description of a pod sandbox; from the spec and the node's settings; to [`cri`](crate::cri). Pure.

use std::collections::HashMap;

use k8s_cri::v1 as api;
use k8s_openapi::api::core::v1::Pod;

use super::dns::{NodeDns, kernel_host_name, resolver};
use super::security;
use crate::cri::{LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID};
use crate::pod;

/// What a sandbox is told beyond the spec.
#[derive(Clone, Debug)]
pub struct SandboxParts<'a> {
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// Resolver settings of the node.
    pub dns: &'a NodeDns,
    /// Directory of the pod's logs.
    pub log_directory: String,
    /// The pod's cgroup.
    pub cgroup_parent: String,
}

/// Labels and annotations that say whose sandbox it is.
fn labels(pod: &Pod) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = pod.metadata.labels.clone().unwrap_or_default().into_iter().collect();
    labels.insert(LABEL_POD_NAME.to_owned(), pod::name(pod).to_owned());
    labels.insert(LABEL_POD_NAMESPACE.to_owned(), pod::namespace(pod).to_owned());
    labels.insert(LABEL_POD_UID.to_owned(), pod::uid(pod).to_owned());
    labels
}

/// The description.
pub fn sandbox_config(pod: &Pod, parts: SandboxParts<'_>) -> api::PodSandboxConfig {
    let spec = pod::spec(pod);
    let host_network = pod::host_network(pod);
    let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    api::PodSandboxConfig {
        metadata: Some(api::PodSandboxMetadata {
            name: pod::name(pod).to_owned(),
            uid: pod::uid(pod).to_owned(),
            namespace: pod::namespace(pod).to_owned(),
            attempt: parts.attempt,
        }),
        hostname: if host_network { String::new() } else { kernel_host_name(pod, &parts.dns.cluster_domain) },
        log_directory: parts.log_directory,
        dns_config: Some(resolver(pod, parts.dns)),
        port_mappings: if host_network { Vec::new() } else { port_mappings(pod) },
        labels: labels(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default().into_iter().collect(),
        linux: Some(api::LinuxPodSandboxConfig {
            cgroup_parent: parts.cgroup_parent,
            security_context: Some(security::sandbox(pod)),
            sysctls: sysctls.into_iter().flatten().map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
            ..api::LinuxPodSandboxConfig::default()
        }),
        windows: None,
    }
}

fn port_mappings(pod: &Pod) -> Vec<api::PortMapping> {
    let containers = pod::containers(pod);
    let ports = containers.iter().flat_map(|(_, container)| container.ports.iter().flatten());
    ports
        .map(|port| api::PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => api::Protocol::Udp,
                Some("SCTP") => api::Protocol::Sctp,
                _ => api::Protocol::Tcp,
            } as i32,
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}
