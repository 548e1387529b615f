//! The Node object: registers it and keeps its status true; from the machine, the runtime and the configuration; to the API.
//! [`describe`] is pure, the rest performs IO.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::events::Kind;
use crate::image::pause::architecture;
use crate::kubelet::{Kubelet, RuntimeHealth};
use crate::machine::{self, Machine};
use crate::status::whole_seconds;

pub mod conditions;

/// Version that clients see; the API this kubelet follows.
pub const VERSION: &str = "v1.34.0";
/// Time between looks at the status.
const PERIOD: Duration = Duration::from_secs(10);
/// Time after which an unchanged status is reported again.
const REPORT: Duration = Duration::from_secs(300);
/// Most images listed.
const IMAGES: usize = 50;
/// Memory kept free before pods are refused (upstream's hard eviction threshold).
const RESERVED_MEMORY: i64 = 100 << 20;

/// What the node offers: all of it, and what is left for pods.
pub fn resources(machine: &Machine, max_pods: u32) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
    let table = |memory: i64, disk: String| -> BTreeMap<String, Quantity> {
        [
            ("cpu", machine.processors.to_string()),
            ("ephemeral-storage", disk),
            ("hugepages-1Gi", "0".to_owned()),
            ("hugepages-2Mi", "0".to_owned()),
            ("memory", format!("{}Ki", memory / 1024)),
            ("pods", max_pods.to_string()),
        ]
        .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
        .into()
    };
    let capacity = table(machine.memory_bytes, format!("{}Ki", machine.disk_bytes / 1024));
    let usable = (machine.disk_bytes / 10 * 9).to_string();
    (capacity, table((machine.memory_bytes - RESERVED_MEMORY).max(0), usable))
}

/// Labels every node has.
fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    for (key, value) in [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// What is asked of the runtime for the status.
#[derive(Clone, Debug, Default)]
pub struct RuntimeFacts {
    /// `containerd://1.7.0`
    pub version: String,
    /// Images, the largest first.
    pub images: Vec<ContainerImage>,
}

/// The status as it is now. `previous` gives the times of conditions that stay, and conditions of other owners.
pub fn describe(
    config: &Config,
    machine: &Machine,
    runtime: &RuntimeFacts,
    conditions: Vec<NodeCondition>,
) -> NodeStatus {
    let (capacity, allocatable) = resources(machine, config.max_pods);
    let address = |kind: &str, address: String| NodeAddress { address, type_: kind.to_owned() };
    let mut addresses: Vec<NodeAddress> =
        config.node_ips.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    addresses.push(address("Hostname", config.node_name.clone()));
    NodeStatus {
        addresses: Some(addresses),
        allocatable: Some(allocatable),
        capacity: Some(capacity),
        conditions: Some(conditions),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.listen.port()) }),
        }),
        images: Some(runtime.images.clone()),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: runtime.version.clone(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: VERSION.to_owned(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            swap: None,
            system_uuid: machine.system_uuid.clone(),
        }),
        ..NodeStatus::default()
    }
}

/// Registers the node and reports its status until stopped.
pub async fn run(kubelet: Arc<Kubelet>, client: Client, stop: CancellationToken) {
    let nodes: Api<Node> = Api::all(client);
    let mut health = kubelet.health.clone();
    let mut reported: Option<(NodeStatus, tokio::time::Instant)> = None;
    let mut started = false;
    loop {
        let now = health.borrow_and_update().clone();
        let pause = match report(&kubelet, &nodes, &now, &mut reported, &mut started).await {
            Ok(()) => PERIOD,
            // Somebody wrote in between: look again.
            Err(kube::Error::Api(status)) if status.code == 409 => Duration::from_millis(50),
            Err(error) => {
                tracing::warn!(%error, "report node status");
                Duration::from_millis(500)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = health.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn report(
    kubelet: &Kubelet,
    nodes: &Api<Node>,
    health: &RuntimeHealth,
    reported: &mut Option<(NodeStatus, tokio::time::Instant)>,
    started: &mut bool,
) -> Result<(), kube::Error> {
    let name = &kubelet.config.node_name;
    let existing = nodes.get_opt(name).await?;
    let (node, created) = match existing {
        Some(node) => (node, false),
        None => (register(kubelet, nodes).await?, true),
    };
    if !*started {
        *started = true;
        kubelet.events.node(&node, Kind::Normal, "Starting", "Starting kubelet.");
        if !created {
            let patch = json!({"metadata": {"labels": labels(&kubelet.config)}});
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
    }
    let previous = node.status.clone().unwrap_or_default();
    let pressures = conditions::Pressures::measure(kubelet);
    let now = jiff::Timestamp::now();
    let conditions = conditions::conditions(&previous, health, &pressures, now);
    let transitions = conditions::transitions(&previous, &conditions, name);
    let facts = facts(kubelet).await;
    let status = describe(&kubelet.config, &kubelet.machine, &facts, conditions);
    let due = reported.as_ref().is_none_or(|(last, at)| at.elapsed() > REPORT || !same(last, &status));
    if !due && !created && same_conditions(&previous, &status) {
        return Ok(());
    }
    let mut patch = json!({"status": status});
    patch["metadata"] = json!({"resourceVersion": node.metadata.resource_version});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    for (reason, text) in transitions {
        kubelet.events.node(&node, Kind::Normal, reason, text);
    }
    *reported = Some((status, tokio::time::Instant::now()));
    Ok(())
}

async fn register(kubelet: &Kubelet, nodes: &Api<Node>) -> Result<Node, kube::Error> {
    let config = &kubelet.config;
    let (capacity, allocatable) = resources(&kubelet.machine, config.max_pods);
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            annotations: Some(
                [("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned())].into(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(config.taints.clone()).filter(|list| !list.is_empty()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus { capacity: Some(capacity), allocatable: Some(allocatable), ..NodeStatus::default() }),
    };
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(status)) if status.code == 409 => nodes.get(&config.node_name).await,
        other => other,
    }
}

async fn facts(kubelet: &Kubelet) -> RuntimeFacts {
    let version = match kubelet.runtime.version().await {
        Ok(version) => format!("{}://{}", version.runtime_name, version.runtime_version),
        Err(_away) => String::new(),
    };
    let mut images = kubelet.runtime.list_images().await.unwrap_or_default();
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    let describe = |image: k8s_cri::v1::Image| ContainerImage {
        names: Some(image.repo_digests.into_iter().chain(image.repo_tags).take(5).collect()),
        size_bytes: i64::try_from(image.size).ok(),
    };
    RuntimeFacts { version, images: images.into_iter().take(IMAGES).map(describe).collect() }
}

/// Whether two statuses say the same, apart from when that was seen.
fn same(one: &NodeStatus, other: &NodeStatus) -> bool {
    let without_times = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    without_times(one) == without_times(other)
}

/// Whether the API has the conditions that we would report (somebody may have marked the node as lost).
fn same_conditions(api: &NodeStatus, own: &NodeStatus) -> bool {
    own.conditions.iter().flatten().all(|condition| {
        let found = api.conditions.iter().flatten().find(|known| known.type_ == condition.type_);
        found.is_some_and(|known| known.status == condition.status)
    })
}

/// The time now, for conditions.
pub(crate) fn now_time(now: jiff::Timestamp) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    whole_seconds(now)
}

/// Free bytes of the file system that pods use, as a share of all in per cent.
pub(crate) fn free_disk_percent(path: &std::path::Path) -> i64 {
    let (all, free) = machine::disk(path);
    free.saturating_mul(100).checked_div(all).unwrap_or(100)
}
