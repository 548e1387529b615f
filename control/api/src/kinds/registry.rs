//! Which strategy a built-in kind has; from the kind's own file; to the table of kinds; pure.

use std::sync::Arc;

use super::{cluster, config_map, pod, rbac, service, workloads};
use crate::strategy::{Plain, SpecAndStatus, Strategy};

/// The strategy of a built-in kind. Adding one: write `kinds/<kind>.rs`, name it here.
pub(super) fn strategy(group: &str, kind: &str) -> Arc<dyn Strategy> {
    match (group, kind) {
        ("", "ConfigMap") => Arc::new(config_map::ConfigMap),
        ("", "Pod") => Arc::new(pod::Pod),
        ("", "PodTemplate") => Arc::new(workloads::PodTemplate),
        ("", "Service") => Arc::new(service::Service),
        ("", "Namespace") => Arc::new(cluster::Namespace),
        ("", "Node") => Arc::new(cluster::Node),
        ("", "Secret") => Arc::new(cluster::Secret),
        ("", "Event") => Arc::new(cluster::Event { core: true }),
        ("events.k8s.io", "Event") => Arc::new(cluster::Event { core: false }),
        ("", "ReplicationController") => Arc::new(workloads::REPLICATION_CONTROLLER),
        ("apps", "Deployment") => Arc::new(workloads::DEPLOYMENT),
        ("apps", "ReplicaSet") => Arc::new(workloads::REPLICA_SET),
        ("apps", "DaemonSet") => Arc::new(workloads::DAEMON_SET),
        ("apps", "StatefulSet") => Arc::new(workloads::STATEFUL_SET),
        ("batch", "Job") => Arc::new(workloads::JOB),
        ("batch", "CronJob") => Arc::new(workloads::CRON_JOB),
        ("rbac.authorization.k8s.io", _) => Arc::new(rbac::Rbac),
        ("policy", "PodDisruptionBudget") => Arc::new(SpecAndStatus),
        _ => Arc::new(Plain),
    }
}
