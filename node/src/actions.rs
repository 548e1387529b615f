//! What to do for a pod: spec and runtime state → actions, by the kubelet's rules; from [`pod_worker`](crate::pod_worker);
//! to its executor. Pure.
//!
//! Behaviour follows `computePodActions` of Kubernetes v1.34 (`pkg/kubelet/kuberuntime/kuberuntime_manager.go`).

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::cri::observed::{ContainerState, Phase, PodState, SandboxState};
use crate::pod::{self, Role};

/// What the probes of a running container say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Its startup probe succeeded, or it has none.
    pub started: bool,
    /// Its readiness probe succeeds, or it has none.
    pub ready: bool,
    /// Its liveness probe failed as often as allowed.
    pub liveness_failed: bool,
    /// Its startup probe failed as often as allowed.
    pub startup_failed: bool,
}

/// Verdicts by container name.
pub type Verdicts = HashMap<String, Verdict>;

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// Its name or image in the spec changed.
    DefinitionChanged,
    /// The runtime lost track of it.
    Unknown,
}

/// A container to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Runtime's id.
    pub id: String,
    /// Name in the spec.
    pub name: String,
    /// Why.
    pub reason: StopReason,
    /// Text of the event.
    pub message: String,
}

/// What becomes of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxAction {
    /// The newest one serves.
    Keep(String),
    /// Make one; `changed` if there was one before, which is stopped first.
    Create {
        /// Number of the new sandbox.
        attempt: u32,
        /// Whether there was one before.
        changed: bool,
    },
    /// The pod has nothing left to run: stop what remains.
    Stop,
}

/// What to do, in this order: sandbox, stops, starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of the sandbox.
    pub sandbox: SandboxAction,
    /// Containers to stop.
    pub stop: Vec<Stop>,
    /// Containers to start, by role and name.
    pub start: Vec<(Role, String)>,
}

/// The plan for a pod that shall run.
pub fn plan(pod: &Pod, state: &PodState, verdicts: &Verdicts) -> Plan {
    match current_sandbox(pod, state) {
        Ok(sandbox) => plan_in_sandbox(pod, state, verdicts, sandbox),
        Err((attempt, changed)) => plan_new_sandbox(pod, state, attempt, changed),
    }
}

/// The sandbox that serves, or number and history of the one to make.
fn current_sandbox<'a>(pod: &Pod, state: &'a PodState) -> Result<&'a SandboxState, (u32, bool)> {
    let Some(newest) = state.sandboxes.first() else { return Err((0, false)) };
    let several = state.sandboxes.iter().filter(|sandbox| sandbox.ready).count() > 1;
    let network_changed = newest.host_network != pod::host_network(pod);
    let no_address = !pod::host_network(pod) && newest.addresses.is_empty();
    if several || !newest.ready || network_changed || no_address {
        return Err((newest.attempt + 1, true));
    }
    Ok(newest)
}

fn plan_new_sandbox(pod: &Pod, state: &PodState, attempt: u32, changed: bool) -> Plan {
    let done = Plan { sandbox: SandboxAction::Stop, stop: Vec::new(), start: Vec::new() };
    if pod::restart_policy(pod) == "Never" && attempt != 0 && !state.containers.is_empty() {
        return done;
    }
    let apps = pod::spec(pod).containers.iter().filter(|container| {
        let succeeded = state.newest(&container.name).is_some_and(|c| c.phase == Phase::Exited && c.exit_code == 0);
        !(succeeded && pod::restart_policy(pod) == "OnFailure")
    });
    let apps: Vec<_> = apps.map(|container| (Role::App, container.name.clone())).collect();
    if apps.is_empty() {
        return done;
    }
    let start = match pod::init_containers(pod).first() {
        Some(first) => vec![(init_role(first), first.name.clone())],
        None => apps,
    };
    Plan { sandbox: SandboxAction::Create { attempt, changed }, stop: Vec::new(), start }
}

fn init_role(container: &Container) -> Role {
    if pod::is_sidecar(container) { Role::Sidecar } else { Role::Init }
}

fn plan_in_sandbox(pod: &Pod, state: &PodState, verdicts: &Verdicts, sandbox: &SandboxState) -> Plan {
    let mut plan = Plan { sandbox: SandboxAction::Keep(sandbox.id.clone()), stop: Vec::new(), start: Vec::new() };
    for container in pod::ephemeral_containers(pod) {
        if state.newest(&container.name).is_none() {
            plan.start.push((Role::Ephemeral, container.name));
        }
    }
    let apps = &pod::spec(pod).containers;
    let of_sandbox = |c: &&ContainerState| c.sandbox_id == sandbox.id;
    let initialized = apps.iter().any(|app| state.instances(&app.name).any(|c| of_sandbox(&c)));
    match plan_init(pod, state, verdicts, sandbox, initialized, &mut plan) {
        Init::Waiting => return plan,
        Init::Failed => {
            plan.sandbox = SandboxAction::Stop;
            return plan;
        }
        Init::Done => {}
    }
    let before = plan.start.len();
    let mut kept = 0;
    for container in apps {
        kept += usize::from(plan_app(pod, container, state, verdicts, &mut plan));
    }
    let restarting = plan.start.iter().skip(before).count();
    if kept == 0 && restarting == 0 {
        return Plan { sandbox: SandboxAction::Stop, stop: Vec::new(), start: Vec::new() };
    }
    plan
}

/// How far the init containers are.
enum Init {
    Waiting,
    Failed,
    Done,
}

fn plan_init(
    pod: &Pod,
    state: &PodState,
    verdicts: &Verdicts,
    sandbox: &SandboxState,
    initialized: bool,
    plan: &mut Plan,
) -> Init {
    let containers = pod::init_containers(pod);
    let current = |name: &str| state.containers.iter().find(|c| c.name == name && c.sandbox_id == sandbox.id);
    for (index, container) in containers.iter().enumerate() {
        let later = initialized || containers.iter().skip(index + 1).any(|later| current(&later.name).is_some());
        let found = current(&container.name);
        if pod::is_sidecar(container) {
            match found {
                Some(c) if c.phase == Phase::Running => {
                    let verdict = verdicts.get(&container.name).copied().unwrap_or_default();
                    if let Some((reason, message)) = unhealthy(container, c, verdict) {
                        plan.stop.push(stop(c, reason, format!("{message}, will be restarted")));
                        plan.start.push((Role::Sidecar, container.name.clone()));
                        if !later {
                            return Init::Waiting;
                        }
                    } else if !verdict.started && !later {
                        return Init::Waiting;
                    }
                }
                other => {
                    stop_unknown(other, plan);
                    plan.start.push((Role::Sidecar, container.name.clone()));
                    if !later {
                        return Init::Waiting;
                    }
                }
            }
            continue;
        }
        if initialized || later {
            continue;
        }
        match found {
            None => {
                plan.start.push((Role::Init, container.name.clone()));
                return Init::Waiting;
            }
            Some(c) => match c.phase {
                Phase::Running => return Init::Waiting,
                Phase::Exited if c.exit_code == 0 => {}
                Phase::Exited if pod::restart_policy(pod) == "Never" => return Init::Failed,
                Phase::Exited | Phase::Created | Phase::Unknown => {
                    stop_unknown(Some(c), plan);
                    plan.start.push((Role::Init, container.name.clone()));
                    return Init::Waiting;
                }
            },
        }
    }
    Init::Done
}

fn stop_unknown(container: Option<&ContainerState>, plan: &mut Plan) {
    if let Some(c) = container.filter(|c| c.phase == Phase::Unknown) {
        let message = format!("Container is in \"unknown\" state, try killing it before restart: {}", c.name);
        plan.stop.push(stop(c, StopReason::Unknown, message));
    }
}

/// Plans one app container; returns whether it keeps running as it is.
fn plan_app(pod: &Pod, container: &Container, state: &PodState, verdicts: &Verdicts, plan: &mut Plan) -> bool {
    let found = state.newest(&container.name);
    let Some(running) = found.filter(|c| c.phase == Phase::Running) else {
        if should_restart(pod, found) {
            stop_unknown(found, plan);
            plan.start.push((Role::App, container.name.clone()));
        }
        return false;
    };
    let verdict = verdicts.get(&container.name).copied().unwrap_or_default();
    let Some((reason, message)) = unhealthy(container, running, verdict) else { return true };
    let restart = reason == StopReason::DefinitionChanged || pod::restart_policy(pod) != "Never";
    let message = if restart { format!("{message}, will be restarted") } else { message };
    plan.stop.push(stop(running, reason, message));
    if restart {
        plan.start.push((Role::App, container.name.clone()));
    }
    // A container that is only being killed still runs: the pod goes on until it ended.
    !restart
}

fn stop(container: &ContainerState, reason: StopReason, message: String) -> Stop {
    Stop { id: container.id.clone(), name: container.name.clone(), reason, message }
}

/// Why a running container cannot stay.
fn unhealthy(container: &Container, running: &ContainerState, verdict: Verdict) -> Option<(StopReason, String)> {
    let name = &container.name;
    if !running.hash.is_empty() && running.hash != pod::container_hash(container) {
        return Some((StopReason::DefinitionChanged, format!("Container {name} definition changed")));
    }
    if verdict.liveness_failed {
        return Some((StopReason::Liveness, format!("Container {name} failed liveness probe")));
    }
    if verdict.startup_failed {
        return Some((StopReason::Startup, format!("Container {name} failed startup probe")));
    }
    None
}

/// Whether an app container that does not run shall be started (again).
pub fn should_restart(pod: &Pod, newest: Option<&ContainerState>) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    match newest.map(|c| (c.phase, c.exit_code)) {
        None | Some((Phase::Created | Phase::Unknown, _)) => true,
        Some((Phase::Running, _)) => false,
        Some((Phase::Exited, code)) => match pod::restart_policy(pod) {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests;
