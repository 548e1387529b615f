//! The CRI description of a container; from the spec, its environment and mounts; to [`cri`](crate::cri). Pure.

use std::collections::HashMap;

use k8s_cri::v1 as api;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::expansion::expand;
use super::resources::container_resources;
use super::security::{self, ImageUser};
use crate::cri::{
    ANNOTATION_GRACE, ANNOTATION_HASH, ANNOTATION_RESTART_COUNT, ANNOTATION_TERMINATION_PATH,
    ANNOTATION_TERMINATION_POLICY, LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID,
};
use crate::pod::{self, Role};

/// Where a container writes its last words unless the spec says otherwise.
pub const TERMINATION_PATH: &str = "/dev/termination-log";

/// What a container is told beyond the spec.
#[derive(Clone, Debug)]
pub struct ContainerParts {
    /// Restarts before this instance.
    pub restart_count: u32,
    /// Image as the runtime names it.
    pub image_ref: String,
    /// User of the image.
    pub image_user: ImageUser,
    /// Environment in order.
    pub environment: Vec<(String, String)>,
    /// Mounts, volumes and managed files alike.
    pub mounts: Vec<api::Mount>,
    /// Memory of the node in bytes.
    pub node_memory_bytes: i64,
    /// Directory of the node's own seccomp profiles.
    pub seccomp_profiles: String,
    /// Container whose process namespace an ephemeral container joins.
    pub target_id: Option<String>,
}

/// Name of a container's log below the pod's log directory.
pub fn log_name(container: &str, restart_count: u32) -> String {
    format!("{container}/{restart_count}.log")
}

/// The description.
pub fn container_config(pod: &Pod, role: Role, container: &Container, parts: ContainerParts) -> api::ContainerConfig {
    let lookup =
        |name: &str| parts.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let expanded =
        |list: &Option<Vec<String>>| list.iter().flatten().map(|text| expand(text, lookup)).collect::<Vec<_>>();
    let mut security = security::container(pod, role, container, &parts.image_user, &parts.seccomp_profiles);
    if let (Some(target), Some(options)) = (parts.target_id, security.namespace_options.as_mut()) {
        options.pid = api::NamespaceMode::Target as i32;
        options.target_id = target;
    }
    api::ContainerConfig {
        metadata: Some(api::ContainerMetadata { name: container.name.clone(), attempt: parts.restart_count }),
        image: Some(api::ImageSpec {
            image: parts.image_ref.clone(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..api::ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: parts
            .environment
            .iter()
            .map(|(key, value)| api::KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts: parts.mounts,
        labels: labels(pod, container),
        annotations: annotations(pod, container, parts.restart_count),
        log_path: log_name(&container.name, parts.restart_count),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(api::LinuxContainerConfig {
            resources: Some(container_resources(pod, container, parts.node_memory_bytes)),
            security_context: Some(security),
        }),
        ..api::ContainerConfig::default()
    }
}

fn labels(pod: &Pod, container: &Container) -> HashMap<String, String> {
    [
        (LABEL_CONTAINER_NAME, container.name.as_str()),
        (LABEL_POD_NAME, pod::name(pod)),
        (LABEL_POD_NAMESPACE, pod::namespace(pod)),
        (LABEL_POD_UID, pod::uid(pod)),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn annotations(pod: &Pod, container: &Container, restart_count: u32) -> HashMap<String, String> {
    let path = container.termination_message_path.clone().unwrap_or_else(|| TERMINATION_PATH.to_owned());
    let policy = container.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned());
    [
        (ANNOTATION_HASH, pod::container_hash(container)),
        (ANNOTATION_RESTART_COUNT, restart_count.to_string()),
        (ANNOTATION_TERMINATION_PATH, path),
        (ANNOTATION_TERMINATION_POLICY, policy),
        (ANNOTATION_GRACE, pod::grace_seconds(pod).to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
