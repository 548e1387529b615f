//! One round for a pod that shall run: look, report, plan, act; from [`pod_worker`](super); to [`start`](super::start). Performs IO.

use std::sync::Arc;
use std::time::Duration;

use k8s_cri::v1::PodSandboxConfig;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;

use super::{RESYNC, Worker, terminate};
use crate::actions::{self, Plan, SandboxAction, StopReason};
use crate::cri::observed::Phase;
use crate::events::Kind;
use crate::pod::{self, Role};
use crate::spec::sandbox_config::{SandboxParts, sandbox_config};
use crate::status::{self, Failure};
use crate::volumes::Mounted;

/// What follows a round.
pub(super) enum Next {
    /// Look again after this time, or earlier when woken.
    Wait(Duration),
    /// Look again after this time; only a change of the pod is a reason to look earlier.
    Hold(Duration),
    /// Nothing is left to run.
    Ended,
}

impl Worker {
    pub(super) async fn sync(&mut self) -> Next {
        let pod = self.pod();
        if let Err(error) = self.observe(false).await {
            tracing::warn!(pod = pod::formatted(&pod), %error, "read state from the runtime");
            return self.hold();
        }
        let sandboxes = self.state.sandboxes.iter().map(|sandbox| sandbox.id.as_str());
        let known = sandboxes.chain(self.state.containers.iter().map(|container| container.id.as_str()));
        self.kubelet.cgroups.kill_forgotten(&pod, &known.collect());
        let deadline = self.deadline(&pod);
        if deadline.is_some_and(|left| left.is_zero()) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.failure = Some(Failure { reason: "DeadlineExceeded".to_owned(), message: message.to_owned() });
            self.kubelet.events.pod(&pod, None, Kind::Normal, "DeadlineExceeded", message);
            return Next::Ended;
        }
        self.publish(false, false);
        if matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return Next::Ended;
        }
        let next = Box::pin(self.act(&pod)).await;
        match (next, deadline) {
            (Next::Wait(pause), Some(left)) => Next::Wait(pause.min(left)),
            (Next::Hold(pause), Some(left)) => Next::Hold(pause.min(left)),
            (next, _) => next,
        }
    }

    /// Time left until the active deadline.
    fn deadline(&self, pod: &Pod) -> Option<Duration> {
        let limit = pod::spec(pod).active_deadline_seconds?;
        let started = self.status.start_time.as_ref()?.0;
        let left = limit - jiff::Timestamp::now().duration_since(started).as_secs();
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
    }

    /// A pause that grows while things fail.
    fn pause(&mut self) -> Duration {
        self.failures = (self.failures + 1).min(6);
        Duration::from_millis(250) * 2_u32.pow(self.failures)
    }

    fn again(&mut self) -> Next {
        Next::Wait(self.pause())
    }

    /// The same for failures that make the runtime report changes themselves.
    fn hold(&mut self) -> Next {
        Next::Hold(self.pause())
    }

    async fn act(&mut self, pod: &Arc<Pod>) -> Next {
        let health = self.kubelet.health.borrow().clone();
        if let Some(problem) = health.network_problem.filter(|_| !pod::host_network(pod)) {
            let text = format!("network is not ready: {problem}");
            self.kubelet.events.pod(pod, None, Kind::Warning, "NetworkNotReady", text);
            return self.again();
        }
        let kubelet = Arc::clone(&self.kubelet);
        if let Err(error) = kubelet.cgroups.create_pod(pod) {
            let text = format!("unable to ensure pod container exists: {error}: {}", source(&error));
            kubelet.events.pod(pod, None, Kind::Warning, "FailedCreatePodContainer", text);
            return self.again();
        }
        let Some(mounted) = self.mount_volumes(pod).await else { return self.again() };
        let plan = actions::plan(pod, &self.state, &self.verdicts);
        let config = match Box::pin(self.apply_sandbox(pod, &plan)).await {
            Ok(Some(config)) => config,
            Ok(None) => return self.idle(),
            Err(()) => {
                self.remove_old_instances().await;
                return self.hold();
            }
        };
        self.stop_unhealthy(pod, &plan).await;
        let sandbox_id = match (&plan.sandbox, self.state.ready_sandbox()) {
            (SandboxAction::Keep(id), _) => id.clone(),
            (_, Some(sandbox)) => sandbox.id.clone(),
            (_, None) => return self.again(),
        };
        let mut pause = RESYNC;
        for (role, name) in &plan.start {
            if let Some(wait) = self.start_container(pod, *role, name, &sandbox_id, &config, &mounted).await {
                pause = pause.min(wait);
            }
            if !matches!(role, Role::Ephemeral) {
                self.publish(false, false);
            }
        }
        self.remove_old_instances().await;
        if !plan.start.is_empty() || !plan.stop.is_empty() {
            if let Err(error) = self.observe(false).await {
                tracing::warn!(pod = pod::formatted(pod), %error, "read state from the runtime");
                return self.again();
            }
            self.publish(false, false);
        }
        self.failures = 0;
        Next::Wait(pause)
    }

    fn idle(&mut self) -> Next {
        self.failures = 0;
        Next::Wait(RESYNC)
    }

    /// Makes and refreshes the volumes; `None` after a failure, which has been reported.
    async fn mount_volumes(&mut self, pod: &Pod) -> Option<Mounted> {
        let ips = status::pod_ips(pod, &self.state, &self.kubelet.host_ips);
        let surroundings = self.kubelet.surroundings(ips);
        match self.kubelet.volumes.mount_all(pod, &self.kubelet.objects, &surroundings).await {
            Ok(mounted) => Some(mounted),
            Err((volume, error)) => {
                let text = format!("MountVolume.SetUp failed for volume \"{volume}\" : {error}");
                self.kubelet.events.pod(pod, None, Kind::Warning, "FailedMount", text);
                None
            }
        }
    }

    /// Brings the sandbox to what the plan says. The configuration of the serving sandbox, or `None` if the pod needs none.
    async fn apply_sandbox(&mut self, pod: &Pod, plan: &Plan) -> Result<Option<PodSandboxConfig>, ()> {
        let (attempt, changed) = match plan.sandbox {
            SandboxAction::Keep(_) => {
                let attempt = self.state.sandboxes.first().map_or(0, |sandbox| sandbox.attempt);
                return Ok(Some(self.sandbox_config(pod, attempt)));
            }
            SandboxAction::Stop => {
                self.stop_everything(pod).await;
                return Ok(None);
            }
            SandboxAction::Create { attempt, changed } => (attempt, changed),
        };
        if changed {
            let text = "Pod sandbox changed, it will be killed and re-created.";
            self.kubelet.events.pod(pod, None, Kind::Normal, "SandboxChanged", text);
            self.stop_everything(pod).await;
        }
        let config = self.sandbox_config(pod, attempt);
        let logs = self.kubelet.directories.pod_logs(pod);
        if let Err(error) = std::fs::create_dir_all(&logs) {
            tracing::warn!(path = %logs.display(), %error, "create log directory");
        }
        let started = match self.runtime_handler(pod).await {
            Ok(handler) => {
                let (runtime, config) = (self.kubelet.runtime.clone(), config.clone());
                let run = self.make(async move { runtime.run_sandbox(config, &handler).await }).await;
                run.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            let text = format!("Failed to create pod sandbox: {error}");
            self.kubelet.events.pod(pod, None, Kind::Warning, "FailedCreatePodSandBox", text);
            return Err(());
        }
        if let Err(error) = self.observe(false).await {
            tracing::warn!(pod = pod::formatted(pod), %error, "read state from the runtime");
            return Err(());
        }
        self.publish(false, false);
        Ok(Some(config))
    }

    /// What the pod's RuntimeClass calls the runtime; empty for the default one.
    async fn runtime_handler(&self, pod: &Pod) -> Result<String, String> {
        let Some(name) = pod::spec(pod).runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(String::new());
        };
        let client = self.kubelet.client.clone().ok_or_else(|| format!("RuntimeClass \"{name}\": no API server"))?;
        let class = kube::Api::<RuntimeClass>::all(client).get(name).await;
        class.map(|class| class.handler).map_err(|error| format!("get RuntimeClass \"{name}\": {error}"))
    }

    fn sandbox_config(&self, pod: &Pod, attempt: u32) -> PodSandboxConfig {
        let parts = SandboxParts {
            attempt,
            dns: &self.kubelet.dns,
            log_directory: self.kubelet.directories.pod_logs(pod).display().to_string(),
            cgroup_parent: self.kubelet.cgroups.pod_path(pod),
        };
        sandbox_config(pod, parts)
    }

    async fn stop_unhealthy(&mut self, pod: &Pod, plan: &Plan) {
        let address = status::pod_ips(pod, &self.state, &self.kubelet.host_ips).first().copied();
        for stop in &plan.stop {
            let Some((_, container)) = pod::find_container(pod, &stop.name) else { continue };
            let probe = match stop.reason {
                StopReason::Liveness => container.liveness_probe.as_ref(),
                StopReason::Startup => container.startup_probe.as_ref(),
                StopReason::DefinitionChanged | StopReason::Unknown => None,
            };
            let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
            let victim = terminate::Victim {
                id: stop.id.clone(),
                name: stop.name.clone(),
                container: Some(container),
                grace_seconds: own.unwrap_or_else(|| pod::grace_seconds(pod)),
                message: stop.message.clone(),
                address,
            };
            terminate::stop(&self.kubelet, pod, victim, &terminate::HooksRun::default()).await;
        }
        if !plan.stop.is_empty()
            && let Err(error) = self.observe(false).await
        {
            tracing::warn!(pod = pod::formatted(pod), %error, "read state from the runtime");
        }
    }

    /// Stops all containers and sandboxes that still run.
    async fn stop_everything(&mut self, pod: &Pod) {
        let victims = terminate::victims(pod, &self.state, &self.kubelet.host_ips, pod::grace_seconds(pod));
        terminate::stop_all(&self.kubelet, pod, victims, &terminate::HooksRun::default()).await;
        for sandbox in self.state.sandboxes.iter().filter(|sandbox| sandbox.ready) {
            if let Err(error) = self.kubelet.runtime.stop_sandbox(&sandbox.id).await {
                tracing::warn!(pod = pod::formatted(pod), %error, "stop sandbox");
            }
        }
        // Dead sandboxes keep their network until they are stopped once more.
        for sandbox in self.state.sandboxes.iter().filter(|sandbox| !sandbox.ready) {
            if let Err(error) = self.kubelet.runtime.stop_sandbox(&sandbox.id).await {
                tracing::debug!(pod = pod::formatted(pod), %error, "free network of dead sandbox");
            }
        }
        if let Err(error) = self.observe(false).await {
            tracing::warn!(pod = pod::formatted(pod), %error, "read state from the runtime");
        }
        self.publish(false, false);
    }

    /// Of each container keeps the newest instance and the one before (for `kubectl logs --previous`); of sandboxes the
    /// newest and those that hold such instances.
    async fn remove_old_instances(&mut self) {
        let mut seen: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
        let mut kept_sandboxes = std::collections::HashSet::new();
        for container in &self.state.containers {
            let count = seen.entry(container.name.as_str()).or_default();
            *count += 1;
            if *count <= 2 || container.phase != Phase::Exited {
                kept_sandboxes.insert(container.sandbox_id.clone());
                continue;
            }
            if let Err(error) = self.kubelet.runtime.remove_container(&container.id).await {
                tracing::debug!(%error, container = container.id, "remove old container");
            } else {
                drop(std::fs::remove_file(&container.log_path));
            }
        }
        for sandbox in self.state.sandboxes.iter().skip(1) {
            if !sandbox.ready
                && !kept_sandboxes.contains(&sandbox.id)
                && let Err(error) = self.kubelet.runtime.remove_sandbox(&sandbox.id).await
            {
                tracing::debug!(%error, sandbox = sandbox.id, "remove old sandbox");
            }
        }
    }
}

/// The cause of an error, for messages.
fn source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
