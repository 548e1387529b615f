//! The conditions of a pod, in upstream's order and words; from [`status`](super); to the pod status. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::{Input, whole_seconds};
use crate::pod;

struct Draft {
    kind: &'static str,
    ok: bool,
    reason: String,
    message: String,
}

fn draft(kind: &'static str, ok: bool, reason: &str, message: String) -> Draft {
    Draft { kind, ok, reason: reason.to_owned(), message }
}

/// The conditions that the kubelet owns.
pub fn conditions(
    input: &Input<'_>,
    phase: &str,
    init: &[ContainerStatus],
    apps: &[ContainerStatus],
) -> Vec<PodCondition> {
    let sandbox = input.state.ready_sandbox();
    let network = sandbox.is_some_and(|sandbox| sandbox.host_network || !sandbox.addresses.is_empty());
    let containers_ready = containers_ready(input, phase, init, apps);
    let drafts = [
        draft("PodReadyToStartContainers", network, "", String::new()),
        initialized(input, phase, init, apps),
        ready(input, &containers_ready),
        containers_ready,
        draft("PodScheduled", true, "", String::new()),
    ];
    drafts.into_iter().map(|draft| finish(input, draft)).collect()
}

fn finish(input: &Input<'_>, draft: Draft) -> PodCondition {
    let status = if draft.ok { "True" } else { "False" };
    let before = input.previous.conditions.iter().flatten().find(|condition| condition.type_ == draft.kind);
    let unchanged =
        before.filter(|before| before.status == status).and_then(|before| before.last_transition_time.clone());
    PodCondition {
        last_probe_time: None,
        last_transition_time: unchanged.or_else(|| Some(whole_seconds(input.now))),
        message: Some(draft.message).filter(|text| !text.is_empty()),
        observed_generation: input.pod.metadata.generation,
        reason: Some(draft.reason).filter(|text| !text.is_empty()),
        status: status.to_owned(),
        type_: draft.kind.to_owned(),
    }
}

fn listed(what: &str, names: &[&str]) -> String {
    format!("containers with {what} status: [{}]", names.join(" "))
}

fn initialized(input: &Input<'_>, phase: &str, init: &[ContainerStatus], apps: &[ContainerStatus]) -> Draft {
    let kind = "Initialized";
    if phase == "Succeeded" {
        return draft(kind, true, "PodCompleted", String::new());
    }
    let app_started = apps.iter().any(|status| {
        let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            state.as_ref().is_some_and(|state| state.terminated.is_some())
        };
        status.started == Some(true) || ended(&status.last_state) || (ended(&status.state) && !input.terminal)
    });
    if app_started {
        return draft(kind, true, "", String::new());
    }
    let incomplete = pod::init_containers(input.pod).iter().filter(|container| {
        let status = init.iter().find(|status| status.name == container.name);
        status.is_none_or(
            |status| {
                if pod::is_sidecar(container) { status.started != Some(true) } else { !status.ready }
            },
        )
    });
    let incomplete: Vec<&str> = incomplete.map(|container| container.name.as_str()).collect();
    if incomplete.is_empty() {
        return draft(kind, true, "", String::new());
    }
    draft(kind, false, "ContainersNotInitialized", listed("incomplete", &incomplete))
}

fn containers_ready(input: &Input<'_>, phase: &str, init: &[ContainerStatus], apps: &[ContainerStatus]) -> Draft {
    let kind = "ContainersReady";
    match phase {
        "Succeeded" => return draft(kind, false, "PodCompleted", String::new()),
        "Failed" => return draft(kind, false, "PodFailed", String::new()),
        _ => {}
    }
    let sidecars = pod::init_containers(input.pod).iter().filter(|container| pod::is_sidecar(container));
    let sidecars = sidecars.filter_map(|container| init.iter().find(|status| status.name == container.name));
    let unready: Vec<&str> =
        sidecars.chain(apps).filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return draft(kind, true, "", String::new());
    }
    draft(kind, false, "ContainersNotReady", listed("unready", &unready))
}

fn ready(input: &Input<'_>, containers: &Draft) -> Draft {
    let kind = "Ready";
    if !containers.ok {
        return draft(kind, false, &containers.reason, containers.message.clone());
    }
    let current = input.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let mut messages = Vec::new();
    for gate in pod::spec(input.pod).readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        match current.iter().find(|condition| condition.type_ == *name) {
            None => messages.push(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
            Some(condition) if condition.status != "True" => messages
                .push(format!("the status of pod readiness gate \"{name}\" is not \"True\", but {}", condition.status)),
            Some(_) => {}
        }
    }
    let reason = if messages.is_empty() { "" } else { "ReadinessGatesNotReady" };
    draft(kind, messages.is_empty(), reason, messages.join(", "))
}
