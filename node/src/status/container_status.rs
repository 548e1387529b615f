//! The status of one container; from [`status`](super); to the pod status. Pure.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ResourceRequirements, VolumeMountStatus,
};

use super::{Input, Waiting, from_ns};
use crate::actions::{self, Verdict};
use crate::cri::observed::{self, Phase};
use crate::pod::{self, Role};

/// Scheme of container ids.
const RUNTIME: &str = "containerd";

/// The status.
pub fn container_status(input: &Input<'_>, role: Role, container: &Container) -> ContainerStatus {
    let mut instances = input.state.instances(&container.name);
    let newest = instances.next();
    let verdict = input.verdicts.get(&container.name).copied().unwrap_or_default();
    let previous = previous(input, role, &container.name);
    let mut status = match newest {
        Some(newest) => from_instance(input, container, newest),
        None => without_instance(input, role, container, previous),
    };
    if let Some(earlier) = instances.find(|instance| instance.phase == Phase::Exited) {
        status.last_state = Some(terminated(input, earlier));
    } else if newest.is_some_and(|newest| newest.restart_count > 0) {
        // The runtime forgot the instance before; the last report did not.
        status.last_state = previous.and_then(|previous| previous.last_state.clone());
    }
    refuse(input, role, newest, &mut status);
    if input.terminal {
        lost(&mut status, newest);
    }
    let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
    let (started, ready) = health(role, running, verdict, &status);
    status.started = Some(started);
    status.ready = ready;
    status
}

fn previous<'a>(input: &'a Input<'_>, role: Role, name: &str) -> Option<&'a ContainerStatus> {
    let list = match role {
        Role::Init | Role::Sidecar => &input.previous.init_container_statuses,
        Role::App => &input.previous.container_statuses,
        Role::Ephemeral => &input.previous.ephemeral_container_statuses,
    };
    list.iter().flatten().find(|status| status.name == name)
}

fn from_instance(input: &Input<'_>, container: &Container, instance: &observed::ContainerState) -> ContainerStatus {
    let state = match instance.phase {
        Phase::Running => running(instance),
        Phase::Exited => terminated(input, instance),
        Phase::Created => waiting("ContainerCreating", ""),
        Phase::Unknown => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 137,
                reason: Some("ContainerStatusUnknown".to_owned()),
                message: Some("The container could not be located when the pod was terminated".to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
    };
    let live = instance.phase == Phase::Running;
    ContainerStatus {
        allocated_resources: container.resources.as_ref().filter(|_| live).and_then(|r| r.requests.clone()),
        container_id: Some(format!("{RUNTIME}://{}", instance.id)),
        image: instance.image.clone(),
        image_id: instance.image_ref.clone(),
        last_state: Some(ContainerState::default()),
        name: container.name.clone(),
        resources: live.then(|| resources(container)),
        restart_count: i32::try_from(instance.restart_count).unwrap_or(i32::MAX),
        state: Some(state),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    }
}

fn resources(container: &Container) -> ResourceRequirements {
    let resources = container.resources.clone().unwrap_or_default();
    ResourceRequirements { claims: None, limits: resources.limits, requests: resources.requests }
}

fn mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let status = |mount: &k8s_openapi::api::core::v1::VolumeMount| VolumeMountStatus {
        mount_path: mount.mount_path.clone(),
        name: mount.name.clone(),
        read_only: mount.read_only,
        recursive_read_only: mount.read_only.filter(|read_only| *read_only).map(|_| "Disabled".to_owned()),
    };
    container.volume_mounts.as_ref().map(|mounts| mounts.iter().map(status).collect())
}

/// A container that the runtime does not have: not created yet, or lost.
fn without_instance(
    input: &Input<'_>,
    role: Role,
    container: &Container,
    previous: Option<&ContainerStatus>,
) -> ContainerStatus {
    let has_init = !pod::init_containers(input.pod).is_empty();
    let reason = if has_init && role != Role::Ephemeral { "PodInitializing" } else { "ContainerCreating" };
    let mut status = ContainerStatus {
        image: container.image.clone().unwrap_or_default(),
        last_state: Some(ContainerState::default()),
        name: container.name.clone(),
        state: Some(waiting(reason, "")),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    };
    if let Some(previous) = previous {
        status.restart_count = previous.restart_count;
        let ended = previous.state.as_ref().filter(|state| state.terminated.is_some());
        if ended.is_some() {
            status.state = previous.state.clone();
            status.last_state = previous.last_state.clone();
            status.container_id = previous.container_id.clone();
            status.image = previous.image.clone();
            status.image_id = previous.image_id.clone();
        } else if previous.last_state.as_ref().is_some_and(|state| state.terminated.is_some()) {
            status.last_state = previous.last_state.clone();
        }
    }
    status
}

/// Puts a container that shall run but could not be started into the waiting state, with the reason.
fn refuse(input: &Input<'_>, role: Role, newest: Option<&observed::ContainerState>, status: &mut ContainerStatus) {
    let Some(Waiting { reason, message }) = input.waiting.get(&status.name) else { return };
    let again = match role {
        Role::App => actions::should_restart(input.pod, newest),
        Role::Init => {
            newest.is_none_or(|c| c.phase != Phase::Running && !(c.phase == Phase::Exited && c.exit_code == 0))
        }
        Role::Sidecar => newest.is_none_or(|c| c.phase != Phase::Running),
        Role::Ephemeral => newest.is_none(),
    };
    if !again || input.terminal {
        return;
    }
    if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
        status.last_state = status.state.take();
    }
    status.state = Some(waiting(reason, message));
}

/// In a pod that ended, nothing waits or runs any more.
fn lost(status: &mut ContainerStatus, newest: Option<&observed::ContainerState>) {
    let ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let alive = newest.is_some_and(|newest| newest.phase == Phase::Running);
    if ended || alive {
        return;
    }
    let before = status.last_state.take().filter(|state| state.terminated.is_some());
    status.state = Some(before.unwrap_or_else(|| ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some("The container could not be located when the pod was terminated".to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }));
    status.last_state = Some(ContainerState::default());
}

fn health(role: Role, running: bool, verdict: Verdict, status: &ContainerStatus) -> (bool, bool) {
    let exit_code = status.state.as_ref().and_then(|state| state.terminated.as_ref()).map(|ended| ended.exit_code);
    match role {
        Role::Init => (running, exit_code == Some(0)),
        Role::Ephemeral => (running, false),
        Role::App | Role::Sidecar => (running && verdict.started, running && verdict.started && verdict.ready),
    }
}

fn running(instance: &observed::ContainerState) -> ContainerState {
    let running = ContainerStateRunning { started_at: from_ns(instance.started_ns) };
    ContainerState { running: Some(running), ..ContainerState::default() }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let waiting = ContainerStateWaiting { reason: text(reason), message: text(message) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(input: &Input<'_>, instance: &observed::ContainerState) -> ContainerState {
    let own_words = input.last_words.get(&instance.id).cloned();
    let message = own_words.or_else(|| Some(instance.message.clone())).filter(|text| !text.is_empty());
    let reason = match (instance.reason.as_str(), instance.exit_code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("{RUNTIME}://{}", instance.id)),
            exit_code: instance.exit_code,
            finished_at: from_ns(instance.finished_ns),
            message,
            reason: Some(reason.to_owned()),
            signal: None,
            started_at: from_ns(instance.started_ns),
        }),
        ..ContainerState::default()
    }
}
