//! Pods placed per second in a cluster of 5000 nodes, without an API server, as lines of JSON `{"name", "value", "unit"}`.
//!
//! `cargo run --release -p skep-scheduler --example bench_scheduler [PODS]`. Counted is all the scheduler does for a pod but the request:
//! reading it, the queue, the cycle, the assumption, and the confirmation by the watch.

use std::io::Write as _;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use skep_scheduler::cluster_state::ClusterState;
use skep_scheduler::cycle::Finder;
use skep_scheduler::pending_pod::PendingPod;
use skep_scheduler::pod_info::PodInfo;
use skep_scheduler::queue::{Changed, Queue};
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const NODES: usize = 5000;
const ZONES: usize = 10;

fn node(number: usize) -> Result<Node, Failure> {
    let name = format!("node-{number}");
    let zone = format!("zone-{}", number % ZONES);
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"}},
    }))?)
}

/// A pod of one of 100 workloads, with further fields of its spec.
fn pod(number: usize, fields: &Value) -> Result<Pod, Failure> {
    let app = format!("app-{}", number % 100);
    let uid = format!("00000000-0000-0000-0000-{number:012}");
    let mut spec = json!({"containers": [{"name": "main", "image": "example.org/main:1",
        "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]});
    if let (Some(spec), Some(fields)) = (spec.as_object_mut(), fields.as_object()) {
        let text = serde_json::to_string(fields)?.replace("APP", &app);
        let fields: serde_json::Map<String, Value> = serde_json::from_str(&text)?;
        spec.extend(fields);
    }
    Ok(serde_json::from_value(json!({
        "metadata": {"name": format!("pod-{number}"), "namespace": "default", "uid": uid, "labels": {"app": app}},
        "spec": spec,
    }))?)
}

/// All pods of a kind, one after the other.
fn place(name: &str, pods: usize, fields: &Value) -> Result<(), Failure> {
    let mut state = ClusterState::default();
    for number in 0..NODES {
        state.set_node(&node(number)?);
    }
    let pods = (0..pods).map(|number| pod(number, fields)).collect::<Result<Vec<_>, _>>()?;
    let (mut queue, mut finder) = (Queue::default(), Finder::new(7));
    let begin = Instant::now();
    for pod in &pods {
        queue.add(Arc::new(PendingPod::of(pod, &mut state.names)), false);
    }
    let (mut placed, mut refused) = (0_u32, 0_u32);
    while let Some(pending) = queue.pop(Instant::now()) {
        Finder::prepare(&mut state, &pending);
        match finder.find(&state, &pending) {
            Ok(index) => {
                let target = state.node(index).map(|node| node.name.clone()).ok_or("a node without a name")?;
                state.place(Arc::clone(&pending.info), &target, true);
                queue.remove(&pending.info.uid);
                // what the watch says of it a moment later
                let number: usize = pending.info.name.trim_start_matches("pod-").parse()?;
                let bound = pods.get(number).ok_or("an unknown pod")?;
                let info = Arc::new(PodInfo::of(bound, &mut state.names));
                state.place(info, &target, false);
                queue.changed(Changed::POD_ADDED);
                placed += 1;
            }
            Err(diagnosis) => {
                queue.refused(&pending.info.uid, diagnosis.plugins, Instant::now());
                refused += 1;
                if refused > 1000 {
                    return Err(format!("{name}: pods find no node").into());
                }
            }
        }
    }
    let rate = f64::from(placed) / begin.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout().lock(),
        r#"{{"name":"scheduling, {NODES} nodes, {name}","value":{rate:.0},"unit":"pods/s"}}"#
    )?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let pods = std::env::args().nth(1).map_or(Ok(20_000), |pods| pods.parse())?;
    let selector = json!({"matchLabels": {"app": "APP"}});
    let term = |key: &str| json!([{"labelSelector": selector, "topologyKey": key}]);
    let spread = |key: &str, what: &str| json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": what, "labelSelector": selector});
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    place("basic", pods, &json!({}))?;
    place(
        "required anti-affinity by host",
        pods,
        &json!({"affinity": {"podAntiAffinity": {required: term("kubernetes.io/hostname")}}}),
    )?;
    place(
        "required affinity by zone",
        pods,
        &json!({"affinity": {"podAffinity": {required: term("topology.kubernetes.io/zone")}}}),
    )?;
    place(
        "topology spread by zone and host",
        pods,
        &json!({"topologySpreadConstraints": [
            spread("topology.kubernetes.io/zone", "DoNotSchedule"), spread("kubernetes.io/hostname", "DoNotSchedule"),
        ]}),
    )
}
