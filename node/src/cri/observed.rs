//! What the runtime reports of one pod, typed and sorted; from the runtime; to [`actions`](crate::actions) and
//! [`status`](crate::status). The types are pure, [`Runtime::observe`] performs IO.

use std::collections::HashMap;
use std::net::IpAddr;

use k8s_cri::v1 as api;

use super::{ANNOTATION_HASH, ANNOTATION_RESTART_COUNT, CriError, LABEL_CONTAINER_NAME, Runtime};

/// State of a container as the runtime counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Created, not started yet.
    Created,
    /// Its process runs.
    Running,
    /// Its process ended.
    Exited,
    /// The runtime lost track of it.
    Unknown,
}

impl Phase {
    /// From the CRI number.
    pub fn from_cri(state: i32) -> Self {
        match api::ContainerState::try_from(state) {
            Ok(api::ContainerState::ContainerCreated) => Self::Created,
            Ok(api::ContainerState::ContainerRunning) => Self::Running,
            Ok(api::ContainerState::ContainerExited) => Self::Exited,
            Ok(api::ContainerState::ContainerUnknown) | Err(_) => Self::Unknown,
        }
    }
}

/// One instance of a container. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Runtime's id.
    pub id: String,
    /// Sandbox it runs in.
    pub sandbox_id: String,
    /// Name in the pod spec.
    pub name: String,
    /// Restarts before this instance.
    pub restart_count: u32,
    /// Where in its life it is.
    pub phase: Phase,
    /// When it was created.
    pub created_ns: i64,
    /// When it was started, 0 if never.
    pub started_ns: i64,
    /// When it ended, 0 if it did not.
    pub finished_ns: i64,
    /// Exit code, when it ended.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled` …
    pub reason: String,
    /// The runtime's words about the end.
    pub message: String,
    /// Image as named by the runtime.
    pub image: String,
    /// Digest reference of the image.
    pub image_ref: String,
    /// Digest of the definition it was made from.
    pub hash: String,
    /// Annotations given at creation.
    pub annotations: HashMap<String, String>,
    /// Path of its log.
    pub log_path: String,
    /// Mounts (host path by container path).
    pub mounts: Vec<(String, String)>,
}

/// One sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxState {
    /// Runtime's id.
    pub id: String,
    /// How many sandboxes this pod had before.
    pub attempt: u32,
    /// Whether it runs with its network up.
    pub ready: bool,
    /// When it was created, nanoseconds since 1970.
    pub created_ns: i64,
    /// Pod addresses; empty for pods in the node's network.
    pub addresses: Vec<IpAddr>,
    /// Whether it shares the node's network.
    pub host_network: bool,
}

/// What the runtime has of one pod, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodState {
    /// Sandboxes, newest first.
    pub sandboxes: Vec<SandboxState>,
    /// Containers, newest first.
    pub containers: Vec<ContainerState>,
}

impl PodState {
    /// The newest instance of a container.
    pub fn newest(&self, name: &str) -> Option<&ContainerState> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// Instances of a container, newest first.
    pub fn instances<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ContainerState> {
        self.containers.iter().filter(move |container| container.name == name)
    }

    /// Containers that may still run something. One that was never started does not: runtimes refuse to stop it, and it goes with its sandbox.
    pub fn alive(&self) -> impl Iterator<Item = &ContainerState> {
        self.containers.iter().filter(|container| matches!(container.phase, Phase::Running | Phase::Unknown))
    }

    /// Containers whose process runs.
    pub fn running(&self) -> impl Iterator<Item = &ContainerState> {
        self.containers.iter().filter(|container| container.phase == Phase::Running)
    }

    /// The newest sandbox if it is ready.
    pub fn ready_sandbox(&self) -> Option<&SandboxState> {
        self.sandboxes.first().filter(|sandbox| sandbox.ready)
    }
}

impl Runtime {
    /// Reads everything of one pod. Ended containers found in `known` are not asked for again: they cannot change.
    ///
    /// # Errors
    /// A call failed (objects that vanish meanwhile are no error).
    pub async fn observe(&self, pod_uid: &str, known: &PodState) -> Result<PodState, CriError> {
        let (sandboxes, containers) =
            futures::try_join!(self.list_sandboxes(Some(pod_uid)), self.list_containers(Some(pod_uid)))?;
        let mut state = PodState::default();
        for sandbox in sandboxes {
            match self.sandbox_status(&sandbox.id).await {
                Ok(status) => state.sandboxes.push(sandbox_state(status)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        for container in containers {
            let same = |known: &&ContainerState| known.id == container.id && known.phase == Phase::Exited;
            if let Some(known) = known.containers.iter().find(same) {
                state.containers.push(known.clone());
                continue;
            }
            match self.container_status(&container.id).await {
                Ok(status) => state.containers.push(container_state(container.pod_sandbox_id, status)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        state.sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_ns, sandbox.attempt)));
        state.containers.sort_by_key(|container| std::cmp::Reverse((container.created_ns, container.restart_count)));
        Ok(state)
    }
}

fn sandbox_state(status: api::PodSandboxStatus) -> SandboxState {
    let network = status.network.unwrap_or_default();
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    let first = std::iter::once(network.ip);
    let addresses = first.chain(network.additional_ips.into_iter().map(|ip| ip.ip));
    SandboxState {
        id: status.id,
        attempt: status.metadata.unwrap_or_default().attempt,
        ready: status.state == api::PodSandboxState::SandboxReady as i32,
        created_ns: status.created_at,
        addresses: addresses.filter_map(|ip| ip.parse().ok()).collect(),
        host_network: options.is_some_and(|options| options.network == api::NamespaceMode::Node as i32),
    }
}

fn container_state(sandbox_id: String, status: api::ContainerStatus) -> ContainerState {
    let metadata = status.metadata.unwrap_or_default();
    let count = status.annotations.get(ANNOTATION_RESTART_COUNT).and_then(|count| count.parse().ok());
    let image = status.image.unwrap_or_default();
    ContainerState {
        id: status.id,
        sandbox_id,
        name: status.labels.get(LABEL_CONTAINER_NAME).cloned().unwrap_or(metadata.name),
        restart_count: count.unwrap_or(metadata.attempt),
        phase: Phase::from_cri(status.state),
        created_ns: status.created_at,
        started_ns: status.started_at,
        finished_ns: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image },
        image_ref: status.image_ref,
        hash: status.annotations.get(ANNOTATION_HASH).cloned().unwrap_or_default(),
        annotations: status.annotations,
        log_path: status.log_path,
        mounts: status.mounts.into_iter().map(|mount| (mount.container_path, mount.host_path)).collect(),
    }
}
