//! Starts one container: back-off, image, environment, mounts, create, start, postStart; from [`sync`](super::sync); to the
//! runtime. Performs IO.

use std::sync::Arc;
use std::time::Duration;

use k8s_cri::v1::PodSandboxConfig;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::time::Instant;

use super::{Worker, terminate};
use crate::cri::observed::{ContainerState, Phase};
use crate::events::Kind;
use crate::images::Ready;
use crate::images::credentials::{self, Credential};
use crate::objects::{ObjectKey, ObjectKind};
use crate::pod::{self, Role};
use crate::spec::container_config::{ContainerParts, container_config};
use crate::spec::{environment, security, service_links};
use crate::status::{self, Waiting};
use crate::volumes::Mounted;

/// How soon a container that could not be started is tried again (pulls have their own back-off).
const RETRY: Duration = Duration::from_secs(10);

fn waiting(reason: &str, message: impl ToString) -> Waiting {
    Waiting { reason: reason.to_owned(), message: message.to_string() }
}

impl Worker {
    /// Starts a container; after a failure or while it must wait, the time until the next try.
    pub(super) async fn start_container(
        &mut self,
        pod: &Arc<Pod>,
        role: Role,
        name: &str,
        sandbox_id: &str,
        config: &PodSandboxConfig,
        mounted: &Mounted,
    ) -> Option<Duration> {
        let (_, container) = pod::find_container(pod, name)?;
        if let Some((left, refusal)) = self.crash_loop(pod, &container) {
            let text = format!("Back-off restarting failed container {name} in pod {}", pod::formatted(pod));
            self.kubelet.events.pod(pod, Some(name), Kind::Warning, "BackOff", text);
            self.waiting.insert(name.to_owned(), refusal);
            return Some(left);
        }
        match Box::pin(self.try_start(pod, role, &container, sandbox_id, config, mounted)).await {
            Ok(()) => {
                self.waiting.remove(name);
                None
            }
            Err(refusal) => {
                let shown = match refusal.reason.as_str() {
                    reason @ ("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
                    | "ImageInspectError") => reason.to_owned(),
                    _ => refusal.message.clone(),
                };
                self.kubelet.events.pod(pod, Some(name), Kind::Warning, "Failed", format!("Error: {shown}"));
                self.waiting.insert(name.to_owned(), refusal);
                Some(RETRY)
            }
        }
    }

    /// Whether the container ended too recently to be started again.
    fn crash_loop(&mut self, pod: &Pod, container: &Container) -> Option<(Duration, Waiting)> {
        let name = &container.name;
        let last = self.state.instances(name).find(|instance| instance.phase == Phase::Exited)?;
        let now = Instant::now();
        let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let ago = Duration::from_nanos(u64::try_from(now_ns.saturating_sub(last.finished_ns)).unwrap_or(0));
        let ended = now.checked_sub(ago).unwrap_or(now);
        let key = format!("{name}_{}", pod::container_hash(container));
        if let Some((delay, left)) = self.backoff.remaining(&key, ended, now) {
            let shown = shown(delay);
            let message = format!("back-off {shown} restarting failed container={name} pod={}", pod::formatted(pod));
            return Some((left, waiting("CrashLoopBackOff", message)));
        }
        self.backoff.grow(key, ended);
        None
    }

    async fn try_start(
        &mut self,
        pod: &Arc<Pod>,
        role: Role,
        container: &Container,
        sandbox_id: &str,
        config: &PodSandboxConfig,
        mounted: &Mounted,
    ) -> Result<(), Waiting> {
        let kubelet = Arc::clone(&self.kubelet);
        let name = container.name.as_str();
        let credentials = self.pull_credentials(pod).await;
        let image = kubelet.images.ensure(pod, container, &credentials).await?;
        security::verify_non_root(pod, container, &image.user)
            .map_err(|error| waiting("CreateContainerConfigError", error))?;
        let restart_count = self.next_restart_count(role, name);
        let parts = self.container_parts(pod, container, image, restart_count, mounted).await?;
        let log_directory = kubelet.directories.pod_logs(pod).join(name);
        std::fs::create_dir_all(&log_directory).map_err(|error| {
            waiting("CreateContainerConfigError", format!("create {}: {error}", log_directory.display()))
        })?;
        let description = container_config(pod, role, container, parts);
        let (runtime, sandbox, config) = (kubelet.runtime.clone(), sandbox_id.to_owned(), config.clone());
        let id = self
            .make(async move { runtime.create_container(&sandbox, description, config).await })
            .await
            .map_err(|error| waiting("CreateContainerError", message(&error)))?;
        kubelet.events.pod(pod, Some(name), Kind::Normal, "Created", format!("Created container: {name}"));
        let (runtime, created) = (kubelet.runtime.clone(), id.clone());
        let start = self.make(async move { runtime.start_container(&created).await });
        start.await.map_err(|error| waiting("RunContainerError", message(&error)))?;
        kubelet.events.pod(pod, Some(name), Kind::Normal, "Started", format!("Started container {name}"));
        self.post_start(pod, container, &id).await
    }

    async fn post_start(&mut self, pod: &Arc<Pod>, container: &Container, id: &str) -> Result<(), Waiting> {
        let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) else {
            return Ok(());
        };
        let address = status::pod_ips(pod, &self.state, &self.kubelet.host_ips).first().copied();
        let Err(text) = crate::hooks::run(&self.kubelet.runtime, container, id, hook, address).await else {
            return Ok(());
        };
        self.kubelet.events.pod(pod, Some(&container.name), Kind::Warning, "FailedPostStartHook", text.clone());
        let victim = terminate::Victim {
            id: id.to_owned(),
            name: container.name.clone(),
            container: Some(container.clone()),
            grace_seconds: pod::grace_seconds(pod),
            message: "FailedPostStartHook".to_owned(),
            address,
        };
        terminate::stop(&self.kubelet, pod, victim, &terminate::HooksRun::default()).await;
        Err(waiting("PostStartHookError", text))
    }

    /// Restarts so far plus one, by the runtime's memory or else by the last reported status.
    fn next_restart_count(&self, role: Role, name: &str) -> u32 {
        if let Some(newest) = self.state.newest(name) {
            return newest.restart_count + 1;
        }
        let list = match role {
            Role::App => &self.status.container_statuses,
            Role::Init | Role::Sidecar => &self.status.init_container_statuses,
            Role::Ephemeral => return 0,
        };
        let before = list.iter().flatten().find(|status| status.name == name);
        let ran = |status: &&k8s_openapi::api::core::v1::ContainerStatus| status.container_id.is_some();
        before.filter(ran).map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0) + 1)
    }

    async fn pull_credentials(&self, pod: &Pod) -> Vec<Credential> {
        let secrets = pod::spec(pod).image_pull_secrets.iter().flatten();
        let keys: Vec<_> =
            secrets.map(|secret| ObjectKey::new(ObjectKind::Secret, pod::namespace(pod), &secret.name)).collect();
        match self.kubelet.objects.get_all(&keys, pod::uid(pod)).await {
            Ok(secrets) => secrets.values().flat_map(|secret| credentials::from_secret(secret)).collect(),
            Err(error) => {
                let text = format!(
                    "Unable to retrieve some image pull secrets: {error}; attempting to pull the image may not succeed."
                );
                self.kubelet.events.pod(pod, None, Kind::Warning, "FailedToRetrieveImagePullSecret", text);
                Vec::new()
            }
        }
    }

    async fn container_parts(
        &self,
        pod: &Pod,
        container: &Container,
        image: Ready,
        restart_count: u32,
        mounted: &Mounted,
    ) -> Result<ContainerParts, Waiting> {
        let kubelet = &self.kubelet;
        let ips = status::pod_ips(pod, &self.state, &kubelet.host_ips);
        let keys = environment::references(pod, container);
        let referred = kubelet
            .objects
            .get_all(&keys, pod::uid(pod))
            .await
            .map_err(|error| waiting("CreateContainerConfigError", error))?;
        let enabled = pod::spec(pod).enable_service_links.unwrap_or(true);
        let services = kubelet.services.as_ref().map(|store| store.state()).unwrap_or_default();
        let links = service_links::variables(&services, pod::namespace(pod), enabled);
        let surroundings = kubelet.surroundings(ips.clone());
        let environment = environment::environment(pod, container, &referred, &links, &surroundings)
            .map_err(|error| waiting("CreateContainerConfigError", error))?;
        let mounts = super::mounts::mounts(kubelet, pod, container, mounted, &ips, &environment, restart_count)
            .map_err(|error| waiting("CreateContainerConfigError", error))?;
        Ok(ContainerParts {
            restart_count,
            image_ref: image.reference,
            image_user: image.user,
            environment,
            mounts,
            node_memory_bytes: kubelet.machine.memory_bytes,
            seccomp_profiles: kubelet.directories.root().join("seccomp").display().to_string(),
            target_id: self.target(pod, container),
        })
    }

    /// The container whose process namespace an ephemeral container joins.
    fn target(&self, pod: &Pod, container: &Container) -> Option<String> {
        let ephemeral = pod::spec(pod).ephemeral_containers.iter().flatten().find(|c| c.name == container.name)?;
        let target = ephemeral.target_container_name.as_deref().filter(|name| !name.is_empty())?;
        self.state.newest(target).filter(|c: &&ContainerState| c.phase == Phase::Running).map(|c| c.id.clone())
    }
}

/// The runtime's words without the gRPC frame.
fn message(error: &crate::cri::CriError) -> String {
    match error {
        crate::cri::CriError::Rpc(status) => status.message().to_owned(),
        crate::cri::CriError::Timeout { .. }
        | crate::cri::CriError::Missing { .. }
        | crate::cri::CriError::Endpoint(_) => error.to_string(),
    }
}

/// Whole seconds as Go prints durations: `10s`, `1m20s`, `5m0s`.
fn shown(delay: Duration) -> String {
    let seconds = delay.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_as_people_know_them() {
        let shown: Vec<_> = [10, 20, 40, 80, 160, 300].map(|s| shown(Duration::from_secs(s))).into();
        assert_eq!(shown, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s"]);
    }
}
