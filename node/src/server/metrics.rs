//! `/metrics` and `/metrics/resource` in the Prometheus text format; from the runtime and the kubelet; to scrapers.
//! Performs IO.

use http::Response;

use super::{Body, full};
use crate::cri::observed::Phase;
use crate::cri::{LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID};
use crate::kubelet::Kubelet;
use crate::machine;
use crate::node_status::VERSION;

const TYPE: http::HeaderValue = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

fn answer(text: String) -> Response<Body> {
    let mut answer = Response::new(full(text));
    answer.headers_mut().insert("content-type", TYPE);
    answer
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    *out += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// The kubelet's own numbers.
pub fn own(kubelet: &Kubelet) -> Response<Body> {
    let (mut pods, mut containers) = (0_usize, 0_usize);
    for view in kubelet.pods.read().values() {
        pods += usize::from(view.state.ready_sandbox().is_some());
        containers += view.state.containers.iter().filter(|container| container.phase == Phase::Running).count();
    }
    let mut out = String::new();
    head(&mut out, "kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox");
    out += &format!("kubelet_running_pods {pods}\n");
    head(&mut out, "kubelet_running_containers", "gauge", "Number of containers currently running");
    out += &format!("kubelet_running_containers{{container_state=\"running\"}} {containers}\n");
    head(&mut out, "kubelet_node_name", "gauge", "The node's name. The count is always 1.");
    out += &format!("kubelet_node_name{{node=\"{}\"}} 1\n", kubelet.config.node_name);
    head(&mut out, "kubernetes_build_info", "gauge", "Version of the API that this kubelet follows; always 1.");
    out += &format!("kubernetes_build_info{{git_version=\"{VERSION}\"}} 1\n");
    answer(out)
}

/// cpu and memory of node, pods and containers, as metrics servers read them.
pub async fn resource(kubelet: &Kubelet) -> Response<Body> {
    let stats = kubelet.runtime.container_stats().await;
    let failed = u8::from(stats.is_err());
    let (mut cpu, mut memory) = (String::new(), String::new());
    head(
        &mut cpu,
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
    );
    head(&mut memory, "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes");
    let mut pods: std::collections::BTreeMap<String, (String, f64, u64)> = std::collections::BTreeMap::new();
    for container in stats.unwrap_or_default() {
        let labels = container.attributes.unwrap_or_default().labels;
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        if !labels.contains_key(LABEL_POD_UID) {
            continue;
        }
        let pod = format!("namespace=\"{}\",pod=\"{}\"", label(LABEL_POD_NAMESPACE), label(LABEL_POD_NAME));
        let name = label(LABEL_CONTAINER_NAME);
        let used = container.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value);
        let seconds = std::time::Duration::from_nanos(used).as_secs_f64();
        let bytes = container.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |value| value.value);
        cpu += &format!("container_cpu_usage_seconds_total{{container=\"{name}\",{pod}}} {seconds}\n");
        memory += &format!("container_memory_working_set_bytes{{container=\"{name}\",{pod}}} {bytes}\n");
        let sum = pods.entry(label(LABEL_POD_UID)).or_insert_with(|| (pod, 0.0, 0));
        sum.1 += seconds;
        sum.2 = sum.2.saturating_add(bytes);
    }
    let mut out = cpu + &memory;
    head(&mut out, "pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds");
    for (pod, seconds, _) in pods.values() {
        out += &format!("pod_cpu_usage_seconds_total{{{pod}}} {seconds}\n");
    }
    head(&mut out, "pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes");
    for (pod, _, bytes) in pods.values() {
        out += &format!("pod_memory_working_set_bytes{{{pod}}} {bytes}\n");
    }
    head(
        &mut out,
        "node_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the node in core-seconds",
    );
    out += &format!("node_cpu_usage_seconds_total {}\n", machine::busy_seconds());
    head(&mut out, "node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
    let used = kubelet.machine.memory_bytes - machine::available_memory();
    out += &format!("node_memory_working_set_bytes {used}\n");
    head(
        &mut out,
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    out += &format!("resource_scrape_error {failed}\n");
    answer(out)
}
