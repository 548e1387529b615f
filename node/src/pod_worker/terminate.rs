//! Ends a pod: preStop hooks, stop signal, grace period, kill; sidecars last; from [`pod_worker`](super); to the runtime.
//! Performs IO.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Desired, Worker};
use crate::cri::ANNOTATION_GRACE;
use crate::cri::observed::PodState;
use crate::events::Kind;
use crate::kubelet::Kubelet;
use crate::pod::{self, Role};
use crate::status;

/// What a container gets between the stop signal and the kill at least, even after a long preStop hook.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// Ids of containers whose preStop hook has run.
pub(super) type HooksRun = Arc<Mutex<HashSet<String>>>;

/// A container to stop.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    pub(super) id: String,
    pub(super) name: String,
    /// Its definition, if the spec still has it.
    pub(super) container: Option<Container>,
    pub(super) grace_seconds: i64,
    /// Text of the event; empty for the ordinary one.
    pub(super) message: String,
    /// Address for httpGet hooks.
    pub(super) address: Option<IpAddr>,
}

/// Everything of the pod that may still run.
pub(super) fn victims(pod: &Pod, state: &PodState, host_ips: &[IpAddr], grace_seconds: i64) -> Vec<Victim> {
    let address = status::pod_ips(pod, state, host_ips).first().copied();
    let victim = |container: &crate::cri::observed::ContainerState| {
        let found = pod::find_container(pod, &container.name).map(|(_, container)| container);
        let annotated = container.annotations.get(ANNOTATION_GRACE).and_then(|text| text.parse().ok());
        let grace_seconds = if found.is_some() { grace_seconds } else { annotated.unwrap_or(grace_seconds) };
        Victim {
            id: container.id.clone(),
            name: container.name.clone(),
            container: found,
            grace_seconds,
            message: String::new(),
            address,
        }
    };
    state.alive().map(victim).collect()
}

/// Stops containers: all but sidecars at once, then sidecars from the last to the first.
pub(super) async fn stop_all(kubelet: &Arc<Kubelet>, pod: &Pod, victims: Vec<Victim>, hooks: &HooksRun) {
    let started = Instant::now();
    let is_sidecar =
        |victim: &Victim| pod::find_container(pod, &victim.name).is_some_and(|(role, _)| role == Role::Sidecar);
    let (mut sidecars, others): (Vec<_>, Vec<_>) = victims.into_iter().partition(is_sidecar);
    futures::future::join_all(others.into_iter().map(|victim| stop(kubelet, pod, victim, hooks))).await;
    let position = |victim: &Victim| pod::init_containers(pod).iter().position(|c| c.name == victim.name);
    sidecars.sort_by_key(|victim| std::cmp::Reverse(position(victim)));
    for mut victim in sidecars {
        let spent = i64::try_from(started.elapsed().as_secs()).unwrap_or(i64::MAX);
        victim.grace_seconds = victim.grace_seconds.saturating_sub(spent).max(0);
        stop(kubelet, pod, victim, hooks).await;
    }
}

/// Stops one container.
pub(super) async fn stop(kubelet: &Arc<Kubelet>, pod: &Pod, victim: Victim, hooks: &HooksRun) {
    let fresh = hooks.lock().insert(victim.id.clone());
    if fresh {
        let text = if victim.message.is_empty() {
            format!("Stopping container {}", victim.name)
        } else {
            victim.message.clone()
        };
        kubelet.events.pod(pod, Some(&victim.name), Kind::Normal, "Killing", text);
    }
    let grace = Duration::from_secs(u64::try_from(victim.grace_seconds).unwrap_or(0));
    let started = Instant::now();
    let lifecycle = victim.container.as_ref().and_then(|container| container.lifecycle.as_ref());
    let hook = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()).filter(|_| fresh && !grace.is_zero());
    if let (Some(hook), Some(container)) = (hook, victim.container.as_ref()) {
        let run = crate::hooks::run(&kubelet.runtime, container, &victim.id, hook, victim.address);
        if let Ok(Err(text)) = tokio::time::timeout(grace, run).await {
            tracing::info!(pod = pod::formatted(pod), container = victim.name, %text, "preStop hook");
            kubelet.events.pod(pod, Some(&victim.name), Kind::Warning, "FailedPreStopHook", "PreStopHook failed");
        }
    }
    let left = grace.saturating_sub(started.elapsed()).max(LEAST_GRACE);
    if let Err(error) = kubelet.runtime.stop_container(&victim.id, left).await {
        tracing::warn!(pod = pod::formatted(pod), container = victim.name, %error, "stop container");
    }
}

impl Worker {
    /// Stops everything of the pod, again and again until nothing runs.
    pub(super) async fn terminate(&mut self) {
        let hooks = HooksRun::default();
        drop(self.making.lock().await);
        loop {
            if let Err(error) = self.observe(true).await {
                tracing::warn!(pod = pod::formatted(&self.pod()), %error, "read state from the runtime");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            if self.state.alive().next().is_none() {
                break;
            }
            self.publish(false, false);
            Box::pin(self.stop_once(&hooks)).await;
        }
        let kubelet = Arc::clone(&self.kubelet);
        let pod = self.pod();
        loop {
            let stops = self.state.sandboxes.iter().map(|sandbox| kubelet.runtime.stop_sandbox(&sandbox.id));
            match futures::future::try_join_all(stops).await {
                Ok(_) => break,
                Err(error) => {
                    let text =
                        format!("error killing pod: failed to \"KillPodSandbox\" for \"{}\": {error}", pod::uid(&pod));
                    kubelet.events.pod(&pod, None, Kind::Warning, "FailedKillPod", text);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        }
        // Errors here only cost the freshest words of the last status.
        if let Err(error) = self.observe(true).await {
            tracing::warn!(pod = pod::formatted(&pod), %error, "read state from the runtime");
        }
        self.publish(true, false);
    }

    /// One attempt, cut short when the grace period is shortened meanwhile.
    async fn stop_once(&mut self, hooks: &HooksRun) {
        let pod = self.pod();
        let grace = self.desired.borrow().grace_seconds();
        let grace = if self.failure.is_some() { grace.min(pod::grace_seconds(&pod)) } else { grace };
        let victims = victims(&pod, &self.state, &self.kubelet.host_ips, grace);
        let kubelet = Arc::clone(&self.kubelet);
        let stops = stop_all(&kubelet, &pod, victims, hooks);
        tokio::pin!(stops);
        let mut desired = self.desired.clone();
        let shorter = |desired: &Desired| desired.must_end() && desired.grace_seconds() < grace;
        let wake = Arc::clone(&self.wake);
        loop {
            tokio::select! {
                () = &mut stops => return,
                () = super::until(&mut desired, shorter) => return,
                () = wake.notified() => {
                    if self.observe(true).await.is_ok() {
                        self.publish(false, false);
                    }
                    if self.state.alive().next().is_none() {
                        return;
                    }
                }
            }
        }
    }
}
