//! The row of a pod: readiness, the one-word status, restarts, addresses. From [`super::printer`]; to the table. Pure.
//!
//! The rules of the status column are those of Kubernetes v1.34 `pkg/printers/internalversion/printers.go`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Row;
use super::age::{age, age_at, timestamp_at};
use super::selector_text::NONE;
use crate::json_field::{condition, condition_true, flag, items, number, present, text, text_or};

pub(super) fn row(pod: &Value, now: Timestamp) -> Row {
    let summary = summarise(pod);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, age(last, now))
        }
        _ => summary.restarts.to_string(),
    };
    let ip =
        items(pod, "/status/podIPs").first().map_or_else(|| text(pod, "/status/podIP"), |first| text(first, "/ip"));
    let cells = vec![
        json!(text(pod, "/metadata/name")),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.reason),
        json!(restarts),
        json!(age_at(pod, "/metadata/creationTimestamp", now)),
        json!(if ip.is_empty() { NONE } else { ip }),
        json!(text_or(pod, "/spec/nodeName", NONE)),
        json!(text_or(pod, "/status/nominatedNodeName", NONE)),
        json!(readiness_gates(pod)),
    ];
    Row { cells, conditions: completion(text(pod, "/status/phase")) }
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

/// Restarts of a set of containers and the end of the latest earlier run.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += number(status, "/restartCount");
        self.last = self.last.max(timestamp_at(status, "/lastState/terminated/finishedAt"));
    }
}

fn summarise(pod: &Value) -> Summary {
    let phase = text(pod, "/status/phase");
    let mut reason = text_or(pod, "/status/reason", phase).to_owned();
    if items(pod, "/status/conditions")
        .iter()
        .any(|condition| text(condition, "/type") == "PodScheduled" && text(condition, "/reason") == "SchedulingGated")
    {
        "SchedulingGated".clone_into(&mut reason);
    }
    let sidecars: Vec<&str> = items(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .map(|container| text(container, "/name"))
        .collect();
    let total = items(pod, "/spec/containers").len() + sidecars.len();

    let (mut all, mut of_sidecars, mut ready, mut initializing) = (Restarts::default(), Restarts::default(), 0, false);
    for (index, status) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
        let sidecar = sidecars.contains(&text(status, "/name"));
        all.add(status);
        if sidecar {
            of_sidecars.add(status);
        }
        if present(status, "/state/terminated") && number(status, "/state/terminated/exitCode") == 0 {
            continue;
        }
        if sidecar && flag(status, "/started") == Some(true) {
            ready += usize::from(flag(status, "/ready") == Some(true));
            continue;
        }
        reason = init_reason(pod, index, status);
        initializing = true;
        break;
    }

    if !initializing || condition_true(pod, "Initialized") {
        all = of_sidecars;
        let mut running = false;
        for status in items(pod, "/status/containerStatuses").iter().rev() {
            all.add(status);
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut reason);
            } else if present(status, "/state/terminated") {
                reason = terminated_reason(status);
            } else if flag(status, "/ready") == Some(true) && present(status, "/state/running") {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            reason = if condition_true(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if present(pod, "/metadata/deletionTimestamp") {
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut reason);
        }
    }
    Summary { reason, ready, total, restarts: all.count, last_restart: all.last }
}

fn init_reason(pod: &Value, index: usize, status: &Value) -> String {
    let waiting = text(status, "/state/waiting/reason");
    if present(status, "/state/terminated") {
        format!("Init:{}", terminated_reason(status))
    } else if !waiting.is_empty() && waiting != "PodInitializing" {
        format!("Init:{waiting}")
    } else {
        format!("Init:{index}/{}", items(pod, "/spec/initContainers").len())
    }
}

fn terminated_reason(status: &Value) -> String {
    let reason = text(status, "/state/terminated/reason");
    let signal = number(status, "/state/terminated/signal");
    if !reason.is_empty() {
        reason.to_owned()
    } else if signal != 0 {
        format!("Signal:{signal}")
    } else {
        format!("ExitCode:{}", number(status, "/state/terminated/exitCode"))
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let passed = gates
        .iter()
        .filter(|gate| {
            condition(pod, "/status/conditions", text(gate, "/conditionType"))
                .is_some_and(|found| text(found, "/status") == "True")
        })
        .count();
    format!("{passed}/{}", gates.len())
}

/// The row condition by which clients may hide pods that have ended.
fn completion(phase: &str) -> Option<Value> {
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": phase, "message": message}]))
}
