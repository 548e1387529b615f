//! `/pods` and `/stats/summary`: what runs here and what it uses; from the runtime and the machine; to callers. Performs IO.

use http::Response;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Body, json};
use crate::cri::{LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID};
use crate::kubelet::Kubelet;
use crate::machine;

/// Every pod with its status.
pub fn pods(kubelet: &Kubelet) -> Response<Body> {
    let views: Vec<Pod> = kubelet
        .pods
        .read()
        .values()
        .map(|view| Pod { status: Some((*view.status).clone()), ..(*view.pod).clone() })
        .collect();
    json(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": views}))
}

/// Resource use of node and pods, in the shape of upstream's summary.
pub async fn summary(kubelet: &Kubelet) -> Response<Body> {
    let now = jiff::Timestamp::now();
    let stats = kubelet.runtime.container_stats().await.unwrap_or_default();
    let mut pods: std::collections::BTreeMap<String, (Value, Vec<Value>)> = std::collections::BTreeMap::new();
    for container in stats {
        let labels = container.attributes.clone().unwrap_or_default().labels;
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        if !labels.contains_key(LABEL_POD_UID) {
            continue;
        }
        let reference = json!({"name": label(LABEL_POD_NAME), "namespace": label(LABEL_POD_NAMESPACE), "uid": label(LABEL_POD_UID)});
        let number = |value: Option<k8s_cri::v1::UInt64Value>| value.map(|value| value.value);
        let (cpu, memory) = (container.cpu.unwrap_or_default(), container.memory.unwrap_or_default());
        let entry = json!({
            "name": label(LABEL_CONTAINER_NAME),
            "cpu": {"time": time(cpu.timestamp), "usageCoreNanoSeconds": number(cpu.usage_core_nano_seconds),
                    "usageNanoCores": number(cpu.usage_nano_cores)},
            "memory": {"time": time(memory.timestamp), "workingSetBytes": number(memory.working_set_bytes),
                       "usageBytes": number(memory.usage_bytes), "rssBytes": number(memory.rss_bytes)},
            "rootfs": {"usedBytes": number(container.writable_layer.unwrap_or_default().used_bytes)},
        });
        pods.entry(label(LABEL_POD_UID)).or_insert_with(|| (reference, Vec::new())).1.push(entry);
    }
    let pods: Vec<Value> = pods
        .into_values()
        .map(|(reference, containers)| {
            let sum = |group: &str, field: &str| {
                containers.iter().filter_map(|c| c[group][field].as_u64()).fold(0, u64::saturating_add)
            };
            json!({"podRef": reference,
                "cpu": {"time": now, "usageCoreNanoSeconds": sum("cpu", "usageCoreNanoSeconds")},
                "memory": {"time": now, "workingSetBytes": sum("memory", "workingSetBytes")},
                "containers": containers})
        })
        .collect();
    let available = machine::available_memory();
    let (disk, free) = machine::disk(&kubelet.config.root_dir);
    json(&json!({
        "node": {
            "nodeName": kubelet.config.node_name,
            "memory": {"time": now, "availableBytes": available, "workingSetBytes": kubelet.machine.memory_bytes - available},
            "fs": {"time": now, "capacityBytes": disk, "availableBytes": free, "usedBytes": disk - free},
        },
        "pods": pods,
    }))
}

fn time(nanoseconds: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default().to_string()
}
