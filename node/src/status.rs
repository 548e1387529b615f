//! The status a pod reports: runtime state, probes and refusals → `PodStatus`, in upstream's words; from
//! [`pod_worker`](crate::pod_worker); to [`status_publisher`](crate::status_publisher). Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::actions::Verdicts;
use crate::cri::observed::PodState;
use crate::pod::{self, Role};

pub mod conditions;
pub mod container_status;
pub mod phase;

/// Why a container waits: reason and message of its waiting state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// One word, for example `CrashLoopBackOff`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Why a pod failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word, for example `DeadlineExceeded`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// All that a status is made of.
#[derive(Debug)]
pub struct Input<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What the runtime reports.
    pub state: &'a PodState,
    /// What the probes say, by container.
    pub verdicts: &'a Verdicts,
    /// Why containers could not be started, by container.
    pub waiting: &'a HashMap<String, Waiting>,
    /// Last words of ended containers, by container id.
    pub last_words: &'a HashMap<String, String>,
    /// The pod failed as a whole.
    pub failure: Option<&'a Failure>,
    /// No container will be started any more.
    pub terminal: bool,
    /// The status before.
    pub previous: &'a PodStatus,
    /// Addresses of the node, the preferred family first.
    pub host_ips: &'a [IpAddr],
    /// Now.
    pub now: jiff::Timestamp,
}

/// Addresses of the pod, of the node's preferred family first.
pub fn pod_ips(pod: &Pod, state: &PodState, host_ips: &[IpAddr]) -> Vec<IpAddr> {
    if pod::host_network(pod) {
        return host_ips.to_vec();
    }
    let mut ips =
        state.sandboxes.first().filter(|sandbox| sandbox.ready).map_or_else(Vec::new, |s| s.addresses.clone());
    let prefer_v6 = host_ips.first().is_some_and(IpAddr::is_ipv6);
    ips.sort_by_key(|ip| ip.is_ipv6() != prefer_v6);
    ips
}

/// The status.
pub fn pod_status(input: &Input<'_>) -> PodStatus {
    let pod = input.pod;
    let mut init = Vec::new();
    let mut apps = Vec::new();
    let mut ephemeral = Vec::new();
    for (role, container) in pod::containers(pod) {
        let status = container_status::container_status(input, role, &container);
        match role {
            Role::Init | Role::Sidecar => init.push(status),
            Role::App => apps.push(status),
            Role::Ephemeral => ephemeral.push(status),
        }
    }
    if input.failure.is_some() && input.state.containers.is_empty() && input.previous.container_statuses.is_none() {
        // Refused before anything was made: there is nothing to say of containers.
        init.clear();
        apps.clear();
    }
    let all: Vec<&ContainerStatus> = init.iter().chain(&apps).collect();
    let mut phase = phase::phase(pod, &all, input.terminal);
    if input.failure.is_some() {
        phase = "Failed";
    }
    // A finished pod stays as it finished.
    let before = input.previous.phase.as_deref();
    if let Some(done @ ("Succeeded" | "Failed")) = before {
        phase = done;
    }
    let mut ips: Vec<String> = pod_ips(pod, input.state, input.host_ips).iter().map(ToString::to_string).collect();
    if ips.is_empty() && input.terminal {
        ips = input.previous.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    }
    let failure = input.failure;
    let kept = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let conditions = conditions::conditions(input, phase, &init, &apps);
    PodStatus {
        conditions: Some(conditions),
        container_statuses: Some(apps).filter(|list| !list.is_empty()),
        ephemeral_container_statuses: Some(ephemeral).filter(|list| !list.is_empty()),
        host_ip: input.host_ips.first().map(ToString::to_string),
        host_ips: Some(input.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        init_container_statuses: Some(init).filter(|list| !list.is_empty()),
        message: failure.map(|f| f.message.clone()).or_else(|| kept(&input.previous.message)),
        observed_generation: pod.metadata.generation,
        phase: Some(phase.to_owned()),
        pod_ip: ips.first().cloned(),
        pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip }).collect()).filter(|list: &Vec<_>| !list.is_empty()),
        qos_class: Some(pod::qos(pod).as_str().to_owned()),
        reason: failure.map(|f| f.reason.clone()).or_else(|| kept(&input.previous.reason)),
        start_time: input.previous.start_time.clone().or_else(|| Some(whole_seconds(input.now))),
        ..PodStatus::default()
    }
}

/// A time as the API keeps it: whole seconds.
pub fn whole_seconds(time: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// A CRI time; `None` for zero.
pub fn from_ns(nanoseconds: i64) -> Option<Time> {
    if nanoseconds == 0 {
        return None;
    }
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok().map(whole_seconds)
}

#[cfg(test)]
mod tests;
