//! Which strategy a built-in kind has; from the kind's own file; to the table of kinds; pure.

use std::sync::Arc;

use super::{
    autoscaler, certificate, config_map, controller_revision, device, endpoints, event, flow_control, job, lease,
    namespace, networking, node, pod, policy, priority_class, quota, rbac, secret, service, storage, volume, webhook,
    workloads,
};
use crate::strategy::{Plain, Strategy};

/// The strategy of a built-in kind. Adding one: write `kinds/<kind>.rs`, name it here.
pub(super) fn strategy(group: &str, kind: &str) -> Arc<dyn Strategy> {
    match (group, kind) {
        ("", "ConfigMap") => Arc::new(config_map::ConfigMap),
        ("", "Pod") => Arc::new(pod::Pod),
        ("", "PodTemplate") => Arc::new(workloads::PodTemplate),
        ("", "Service") => Arc::new(service::Service),
        ("", "Namespace") => Arc::new(namespace::Namespace),
        ("", "Node") => Arc::new(node::Node),
        ("", "Secret") => Arc::new(secret::Secret),
        ("", "Event") => Arc::new(event::Event { core: true }),
        ("events.k8s.io", "Event") => Arc::new(event::Event { core: false }),
        ("", "ReplicationController") => Arc::new(workloads::REPLICATION_CONTROLLER),
        ("apps", "Deployment") => Arc::new(workloads::DEPLOYMENT),
        ("apps", "ReplicaSet") => Arc::new(workloads::REPLICA_SET),
        ("apps", "DaemonSet") => Arc::new(workloads::DAEMON_SET),
        ("apps", "StatefulSet") => Arc::new(workloads::STATEFUL_SET),
        ("batch", "Job") => Arc::new(job::Job),
        ("batch", "CronJob") => Arc::new(job::CronJob),
        ("rbac.authorization.k8s.io", _) => Arc::new(rbac::Rbac),
        ("policy", "PodDisruptionBudget") => Arc::new(policy::PodDisruptionBudget),
        ("", "Endpoints") => Arc::new(endpoints::Endpoints),
        ("discovery.k8s.io", "EndpointSlice") => Arc::new(endpoints::EndpointSlice),
        ("", "LimitRange") => Arc::new(quota::LimitRange),
        ("", "ResourceQuota") => Arc::new(quota::ResourceQuota),
        ("", "PersistentVolume") => Arc::new(volume::PersistentVolume),
        ("", "PersistentVolumeClaim") => Arc::new(volume::PersistentVolumeClaim),
        ("apps", "ControllerRevision") => Arc::new(controller_revision::ControllerRevision),
        ("autoscaling", "HorizontalPodAutoscaler") => Arc::new(autoscaler::HorizontalPodAutoscaler),
        ("coordination.k8s.io", "Lease") => Arc::new(lease::Lease),
        ("networking.k8s.io", "NetworkPolicy") => Arc::new(networking::NetworkPolicy),
        ("networking.k8s.io", "Ingress") => Arc::new(networking::Ingress),
        ("networking.k8s.io", "IngressClass") => Arc::new(networking::IngressClass),
        ("networking.k8s.io", "ServiceCIDR") => Arc::new(networking::ServiceCidr),
        ("networking.k8s.io", "IPAddress") => Arc::new(networking::IpAddress),
        ("scheduling.k8s.io", "PriorityClass") => Arc::new(priority_class::PriorityClass),
        ("node.k8s.io", "RuntimeClass") => Arc::new(priority_class::RuntimeClass),
        ("storage.k8s.io", "StorageClass") => Arc::new(storage::StorageClass),
        ("storage.k8s.io", "CSIDriver") => Arc::new(storage::CsiDriver),
        ("storage.k8s.io", "CSINode") => Arc::new(storage::CsiNode),
        ("storage.k8s.io", "VolumeAttachment") => Arc::new(storage::VolumeAttachment),
        ("storage.k8s.io", "VolumeAttributesClass") => Arc::new(storage::VolumeAttributesClass),
        ("storage.k8s.io", "CSIStorageCapacity") => Arc::new(storage::CsiStorageCapacity),
        ("certificates.k8s.io", "CertificateSigningRequest") => Arc::new(certificate::CertificateSigningRequest),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => {
            Arc::new(webhook::WebhookConfiguration { mutating: true })
        }
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            Arc::new(webhook::WebhookConfiguration { mutating: false })
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => Arc::new(webhook::AdmissionPolicy),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            Arc::new(webhook::AdmissionPolicyBinding)
        }
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => Arc::new(flow_control::FlowSchema),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => {
            Arc::new(flow_control::PriorityLevelConfiguration)
        }
        ("resource.k8s.io", "DeviceClass") => Arc::new(device::DeviceClass),
        ("resource.k8s.io", "ResourceClaim") => Arc::new(device::ResourceClaim),
        ("resource.k8s.io", "ResourceClaimTemplate") => Arc::new(device::ResourceClaimTemplate),
        ("resource.k8s.io", "ResourceSlice") => Arc::new(device::ResourceSlice),
        _ => Arc::new(Plain),
    }
}
