//! Probes of running containers: one task per probe; from [`pod_worker`](crate::pod_worker); to its verdicts.
//!
//! Channels: a task's outcome changes → `wake` of the pod's worker. Performs IO.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus, Probe};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::actions::{Verdict, Verdicts};
use crate::cri::Runtime;
use crate::cri::observed::{ContainerState, Phase, PodState};
use crate::events::{Events, Kind};
use crate::pod::{self, Role};

pub mod attempt;
pub mod http;

/// Which probe of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Holds the others back until the container has started.
    Startup,
    /// Restarts the container.
    Liveness,
    /// Takes the container out of Services.
    Readiness,
}

impl ProbeKind {
    /// As in event texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

const UNKNOWN: u8 = 0;
const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;

struct Task {
    container_id: String,
    outcome: Arc<AtomicU8>,
    _handle: AbortOnDropHandle<()>,
}

/// The probes of one pod.
pub struct Probes {
    runtime: Runtime,
    events: Events,
    wake: Arc<Notify>,
    tasks: HashMap<(String, ProbeKind), Task>,
}

/// All a probe task needs.
pub struct Subject {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The probed container.
    pub container: Container,
    /// Runtime's id of the instance.
    pub container_id: String,
    /// Address that network probes use unless the probe names a host.
    pub address: Option<IpAddr>,
    /// Runtime, for exec probes.
    pub runtime: Runtime,
}

impl Probes {
    /// No probes yet. `wake` is told when an outcome changes.
    pub fn new(runtime: Runtime, events: Events, wake: Arc<Notify>) -> Self {
        Self { runtime, events, wake, tasks: HashMap::new() }
    }

    /// Starts probes of containers that run, ends those of containers that do not. While the pod `terminates`, only
    /// readiness goes on. What was last `reported` of an instance holds until its probes say otherwise: a new kubelet does not
    /// take running pods out of their Services.
    pub fn adjust(
        &mut self,
        pod: &Arc<Pod>,
        state: &PodState,
        address: Option<IpAddr>,
        terminates: bool,
        reported: &PodStatus,
    ) {
        let containers = pod::containers(pod);
        let live = |name: &str| state.newest(name).filter(|c| c.phase == Phase::Running);
        self.tasks.retain(|(name, kind), task| {
            let same = live(name).is_some_and(|container| container.id == task.container_id);
            same && !(terminates && *kind != ProbeKind::Readiness)
        });
        for (role, container) in &containers {
            if matches!(role, Role::Init | Role::Ephemeral) || terminates {
                continue;
            }
            let Some(instance) = live(&container.name) else { continue };
            if !self.started(container) {
                let outcome =
                    if was(reported, instance, |status| status.started == Some(true)) { SUCCESS } else { UNKNOWN };
                self.start(pod, container, instance, ProbeKind::Startup, address, outcome);
                if outcome == UNKNOWN {
                    continue;
                }
            }
            // Alive until shown dead; not ready until shown.
            self.start(pod, container, instance, ProbeKind::Liveness, address, SUCCESS);
            let outcome = if was(reported, instance, |status| status.ready) { SUCCESS } else { UNKNOWN };
            self.start(pod, container, instance, ProbeKind::Readiness, address, outcome);
        }
    }

    /// What the probes say of each running container.
    pub fn verdicts(&self, pod: &Pod, state: &PodState) -> Verdicts {
        let running = |container: &Container| state.newest(&container.name).is_some_and(|c| c.phase == Phase::Running);
        let containers = pod::containers(pod);
        let verdict = |container: &Container| Verdict {
            started: self.started(container),
            ready: ProbeKind::Readiness.of(container).is_none() || self.is(container, ProbeKind::Readiness, SUCCESS),
            liveness_failed: self.is(container, ProbeKind::Liveness, FAILURE),
            startup_failed: self.is(container, ProbeKind::Startup, FAILURE),
        };
        let running = containers.iter().filter(|(_, container)| running(container));
        running.map(|(_, container)| (container.name.clone(), verdict(container))).collect()
    }

    fn started(&self, container: &Container) -> bool {
        let probe = container.startup_probe.as_ref().filter(|probe| pod::probe_has_action(probe));
        probe.is_none() || self.is(container, ProbeKind::Startup, SUCCESS)
    }

    fn is(&self, container: &Container, kind: ProbeKind, outcome: u8) -> bool {
        let task = self.tasks.get(&(container.name.clone(), kind));
        task.is_some_and(|task| task.outcome.load(Ordering::Relaxed) == outcome)
    }

    fn start(
        &mut self,
        pod: &Arc<Pod>,
        container: &Container,
        instance: &ContainerState,
        kind: ProbeKind,
        address: Option<IpAddr>,
        outcome: u8,
    ) {
        let key = (container.name.clone(), kind);
        let Some(probe) = kind.of(container).filter(|probe| pod::probe_has_action(probe)).cloned() else { return };
        if self.tasks.contains_key(&key) {
            return;
        }
        let settled = kind == ProbeKind::Startup && outcome == SUCCESS;
        let outcome = Arc::new(AtomicU8::new(outcome));
        let subject = Subject {
            pod: Arc::clone(pod),
            container: container.clone(),
            container_id: instance.id.clone(),
            address,
            runtime: self.runtime.clone(),
        };
        let task = Watch {
            subject,
            probe,
            kind,
            started_ns: instance.started_ns,
            outcome: Arc::clone(&outcome),
            events: self.events.clone(),
            wake: Arc::clone(&self.wake),
        };
        let run = async move {
            if !settled {
                task.run().await;
            }
        };
        let handle = AbortOnDropHandle::new(tokio::spawn(run));
        self.tasks.insert(key, Task { container_id: instance.id.clone(), outcome, _handle: handle });
    }
}

/// Whether the last report said that of this very instance.
fn was(reported: &PodStatus, instance: &ContainerState, said: impl Fn(&ContainerStatus) -> bool) -> bool {
    let lists = [&reported.container_statuses, &reported.init_container_statuses];
    let mut statuses = lists.into_iter().flatten().flatten();
    statuses.any(|status| {
        let id = status.container_id.as_deref().unwrap_or_default();
        id.ends_with(&format!("//{}", instance.id)) && said(status)
    })
}

struct Watch {
    subject: Subject,
    probe: Probe,
    kind: ProbeKind,
    started_ns: i64,
    outcome: Arc<AtomicU8>,
    events: Events,
    wake: Arc<Notify>,
}

impl Watch {
    async fn run(self) {
        let period = Duration::from_secs(u64::from(pod::probe_number(self.probe.period_seconds, 10)));
        let delay = u64::try_from(self.probe.initial_delay_seconds.unwrap_or(0)).unwrap_or(0);
        let age_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX) - self.started_ns;
        let age = Duration::from_nanos(u64::try_from(age_ns).unwrap_or(0));
        tokio::time::sleep(Duration::from_secs(delay).saturating_sub(age)).await;
        let mut ticks = tokio::time::interval_at(Instant::now(), period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = Count::default();
        loop {
            ticks.tick().await;
            let result = attempt::attempt(&self.subject, &self.probe).await;
            if let Err(text) = &result {
                let message = format!("{} probe failed: {text}", self.kind.as_str());
                self.events.pod(
                    &self.subject.pod,
                    Some(&self.subject.container.name),
                    Kind::Warning,
                    "Unhealthy",
                    message,
                );
            }
            let Some(outcome) = count.add(result.is_ok(), &self.probe) else { continue };
            if self.outcome.swap(outcome, Ordering::Relaxed) != outcome {
                self.wake.notify_one();
            }
            let failed = outcome == FAILURE;
            match self.kind {
                // The worker restarts the container; its next instance gets a task of its own.
                ProbeKind::Liveness | ProbeKind::Startup if failed => return,
                ProbeKind::Startup => return,
                ProbeKind::Liveness | ProbeKind::Readiness => {}
            }
        }
    }
}

/// Successes or failures in a row.
#[derive(Default)]
struct Count {
    success: bool,
    run: u32,
}

impl Count {
    /// Counts a result; the outcome once the threshold is reached.
    fn add(&mut self, success: bool, probe: &Probe) -> Option<u8> {
        self.run = if self.run > 0 && self.success == success { self.run.saturating_add(1) } else { 1 };
        self.success = success;
        let threshold = if success {
            pod::probe_number(probe.success_threshold, 1)
        } else {
            pod::probe_number(probe.failure_threshold, 3)
        };
        (self.run >= threshold).then_some(if success { SUCCESS } else { FAILURE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_in_a_row() {
        let probe = Probe { success_threshold: Some(2), ..Probe::default() };
        let mut count = Count::default();
        let outcomes: Vec<_> = [false, false, true, false, false, false, true, true]
            .into_iter()
            .map(|success| count.add(success, &probe))
            .collect();
        assert_eq!(outcomes, [None, None, None, None, None, Some(FAILURE), None, Some(SUCCESS)]);
    }
}
