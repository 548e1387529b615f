//! The phase of a pod from its containers' statuses; from [`status`](super); to the pod status. Pure.
//!
//! Behaviour follows `getPhase` of Kubernetes v1.34 (`pkg/kubelet/kubelet_pods.go`).

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::pod;

#[derive(Default)]
struct Count {
    unknown: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    succeeded: u32,
}

/// `Pending`, `Running`, `Succeeded` or `Failed`.
pub fn phase(pod: &Pod, statuses: &[&ContainerStatus], terminal: bool) -> &'static str {
    let find = |name: &str| statuses.iter().find(|status| status.name == name).copied();
    let mut count = Count::default();
    let (mut pending_init, mut pending_sidecar, mut failed_init) = (false, false, false);
    for container in pod::init_containers(pod) {
        let Some(status) = find(&container.name) else {
            pending_init = true;
            continue;
        };
        let ended_before = terminated(status.last_state.as_ref());
        if pod::is_sidecar(container) {
            match state(status) {
                State::Running => {
                    pending_sidecar |= status.started != Some(true);
                    count.running += 1;
                }
                State::Waiting if ended_before.is_none() => {
                    pending_sidecar = true;
                    count.waiting += 1;
                }
                State::Waiting | State::Terminated(_) => {}
                State::None => {
                    pending_sidecar = true;
                    count.unknown += 1;
                }
            }
            continue;
        }
        match state(status) {
            State::Terminated(code) => failed_init |= code != 0,
            State::Waiting => match ended_before {
                Some(code) => failed_init |= code != 0,
                None => pending_init = true,
            },
            State::Running | State::None => pending_init = true,
        }
    }
    for container in &pod::spec(pod).containers {
        match find(&container.name).map(|status| (status, state(status))) {
            None | Some((_, State::None)) => count.unknown += 1,
            Some((_, State::Running)) => count.running += 1,
            Some((_, State::Terminated(code))) => {
                count.stopped += 1;
                count.succeeded += u32::from(code == 0);
            }
            Some((status, State::Waiting)) => {
                let stopped = u32::from(terminated(status.last_state.as_ref()).is_some());
                count.stopped += stopped;
                count.waiting += 1 - stopped;
            }
        }
    }
    let policy = pod::restart_policy(pod);
    if failed_init && policy == "Never" {
        return "Failed";
    }
    let app_started = pod::spec(pod).containers.iter().filter_map(|c| find(&c.name)).any(has_started);
    let pending = pending_init || (pending_sidecar && !app_started) || count.waiting > 0;
    decide(&count, pending && !(terminal && count.running == 0 && count.stopped > 0), terminal, policy)
}

fn decide(count: &Count, pending: bool, terminal: bool, policy: &str) -> &'static str {
    let all_succeeded = count.stopped == count.succeeded;
    match count {
        _ if pending => "Pending",
        Count { running: 1.., unknown: 0, .. } => "Running",
        Count { running: 0, stopped: 1.., unknown: 0, .. } => match (terminal, policy) {
            (true, _) | (false, "Never") if all_succeeded => "Succeeded",
            (true, _) | (false, "Never") => "Failed",
            (false, "OnFailure") if all_succeeded => "Succeeded",
            _ => "Running",
        },
        _ => "Pending",
    }
}

enum State {
    Running,
    Waiting,
    Terminated(i32),
    None,
}

fn state(status: &ContainerStatus) -> State {
    match &status.state {
        Some(state) if state.running.is_some() => State::Running,
        Some(state) if state.waiting.is_some() => State::Waiting,
        other => terminated(other.as_ref()).map_or(State::None, State::Terminated),
    }
}

fn terminated(state: Option<&k8s_openapi::api::core::v1::ContainerState>) -> Option<i32> {
    state?.terminated.as_ref().map(|terminated| terminated.exit_code)
}

fn has_started(status: &ContainerStatus) -> bool {
    status.started == Some(true)
        || matches!(state(status), State::Terminated(_))
        || terminated(status.last_state.as_ref()).is_some()
}
