//! securityContext of pod and container as the runtime wants it; from specs; to [`container_config`](super::container_config)
//! and [`sandbox_config`](super::sandbox_config). Pure.

use k8s_cri::v1::{self as api, NamespaceMode, security_profile::ProfileType};
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SeccompProfile};

use crate::pod::{self, Role};

/// Paths of /proc and /sys that containers do not see by default.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// Paths of /proc that containers cannot write by default.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a container may not run as the spec demands. The texts appear in its status.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecurityError {
    /// `runAsNonRoot`, and the user is root.
    #[error("container's runAsUser breaks non-root policy (pod: \"{pod}\", container: {container})")]
    RunAsRoot {
        /// `NAME_NAMESPACE(UID)`.
        pod: String,
        /// Its name.
        container: String,
    },
    /// `runAsNonRoot`, and the image's user is root.
    #[error("container has runAsNonRoot and image will run as root (pod: \"{pod}\", container: {container})")]
    ImageRoot {
        /// `NAME_NAMESPACE(UID)`.
        pod: String,
        /// Its name.
        container: String,
    },
    /// `runAsNonRoot`, and the image names a user whose number is unknown.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: \"{pod}\", container: {container})"
    )]
    ImageUserName {
        /// The image's user.
        user: String,
        /// `NAME_NAMESPACE(UID)`.
        pod: String,
        /// Its name.
        container: String,
    },
}

/// User of an image: number or name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Numeric user.
    pub uid: Option<i64>,
    /// User name, if not numeric.
    pub name: String,
}

/// Checks `runAsNonRoot`.
///
/// # Errors
/// The container would run as root, or one cannot know.
pub fn verify_non_root(pod: &Pod, container: &Container, image: &ImageUser) -> Result<(), SecurityError> {
    let of_pod = pod::spec(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    if own.run_as_non_root.or(of_pod.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let (pod, name) = (pod::formatted(pod), container.name.clone());
    match own.run_as_user.or(of_pod.run_as_user) {
        Some(0) => Err(SecurityError::RunAsRoot { pod, container: name }),
        Some(_) => Ok(()),
        None if image.uid == Some(0) || (image.uid.is_none() && image.name.is_empty()) => {
            Err(SecurityError::ImageRoot { pod, container: name })
        }
        None if image.uid.is_none() => {
            Err(SecurityError::ImageUserName { user: image.name.clone(), pod, container: name })
        }
        None => Ok(()),
    }
}

/// Which namespaces the pod shares with the node and its containers with each other.
pub fn namespaces(pod: &Pod) -> api::NamespaceOption {
    let spec = pod::spec(pod);
    let mode = |host: Option<bool>| if host == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => NamespaceMode::Node,
        (_, Some(true)) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    api::NamespaceOption {
        network: mode(spec.host_network) as i32,
        ipc: mode(spec.host_ipc) as i32,
        pid: pid as i32,
        ..api::NamespaceOption::default()
    }
}

/// Whether any container of the pod is privileged (the sandbox must be, then).
fn any_privileged(pod: &Pod) -> bool {
    pod::containers(pod)
        .iter()
        .any(|(_, c)| c.security_context.as_ref().and_then(|context| context.privileged).unwrap_or(false))
}

fn groups(pod: &Pod) -> Vec<i64> {
    let context = pod::spec(pod).security_context.clone().unwrap_or_default();
    let mut groups: Vec<i64> = context.fs_group.into_iter().collect();
    groups.extend(context.supplemental_groups.into_iter().flatten());
    groups
}

/// Security settings of the sandbox.
pub fn sandbox(pod: &Pod) -> api::LinuxSandboxSecurityContext {
    let context = pod::spec(pod).security_context.clone().unwrap_or_default();
    let number = |value: Option<i64>| value.map(|value| api::Int64Value { value });
    api::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: number(context.run_as_user),
        // The runtime refuses a group without a user.
        run_as_group: if context.run_as_user.is_some() { number(context.run_as_group) } else { None },
        supplemental_groups: groups(pod),
        privileged: any_privileged(pod),
        seccomp: Some(profile(ProfileType::RuntimeDefault, "")),
        ..api::LinuxSandboxSecurityContext::default()
    }
}

/// Security settings of a container; `profiles` is the directory of the node's own seccomp profiles.
pub fn container(
    pod: &Pod,
    role: Role,
    container: &Container,
    image: &ImageUser,
    profiles: &str,
) -> api::LinuxContainerSecurityContext {
    let of_pod = pod::spec(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let capabilities = own.capabilities.unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|&path| path.to_owned()).collect() };
    let user = own.run_as_user.or(of_pod.run_as_user).or(image.uid);
    let user_name = if user.is_none() { image.name.clone() } else { String::new() };
    let group = own.run_as_group.or(of_pod.run_as_group);
    let mut namespace_options = namespaces(pod);
    if role == Role::Ephemeral {
        namespace_options.target_id = String::new();
    }
    api::LinuxContainerSecurityContext {
        capabilities: Some(api::Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            ..api::Capability::default()
        }),
        privileged,
        namespace_options: Some(namespace_options),
        run_as_user: user.map(|value| api::Int64Value { value }),
        run_as_group: group.map(|value| api::Int64Value { value }),
        run_as_username: user_name,
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        supplemental_groups: groups(pod),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(if privileged {
            profile(ProfileType::Unconfined, "")
        } else {
            seccomp(own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()), profiles)
        }),
        apparmor: own.app_armor_profile.as_ref().or(of_pod.app_armor_profile.as_ref()).map(app_armor),
        ..api::LinuxContainerSecurityContext::default()
    }
}

fn profile(kind: ProfileType, file: &str) -> api::SecurityProfile {
    api::SecurityProfile { profile_type: kind as i32, localhost_ref: file.to_owned() }
}

fn seccomp(chosen: Option<&SeccompProfile>, profiles: &str) -> api::SecurityProfile {
    match chosen.map(|chosen| (chosen.type_.as_str(), chosen.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => profile(ProfileType::RuntimeDefault, ""),
        Some(("Localhost", Some(file))) => profile(ProfileType::Localhost, &format!("{profiles}/{file}")),
        _ => profile(ProfileType::Unconfined, ""),
    }
}

fn app_armor(chosen: &AppArmorProfile) -> api::SecurityProfile {
    match (chosen.type_.as_str(), chosen.localhost_profile.as_deref()) {
        ("RuntimeDefault", _) => profile(ProfileType::RuntimeDefault, ""),
        ("Localhost", Some(name)) => profile(ProfileType::Localhost, name),
        _ => profile(ProfileType::Unconfined, ""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(spec: serde_json::Value) -> (Pod, Container) {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}))
                .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        (pod, container)
    }

    #[test]
    fn container_overrides_pod_and_image() {
        let (pod, c) = parts(json!({"securityContext": {"runAsUser": 5, "fsGroup": 7, "supplementalGroups": [8]},
            "containers": [{"name": "c", "securityContext": {"runAsUser": 6, "allowPrivilegeEscalation": false,
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}}]}));
        let found = container(&pod, Role::App, &c, &ImageUser { uid: Some(1), name: String::new() }, "/seccomp");
        assert_eq!(found.run_as_user.unwrap().value, 6);
        assert_eq!(found.supplemental_groups, [7, 8]);
        assert!(found.no_new_privs && !found.privileged && !found.masked_paths.is_empty());
        assert_eq!(found.capabilities.unwrap().drop_capabilities, ["ALL"]);
    }

    #[test]
    fn non_root_policy() {
        let (pod, c) = parts(json!({"containers": [{"name": "c", "securityContext": {"runAsNonRoot": true}}]}));
        let verify = |user: ImageUser| verify_non_root(&pod, &c, &user).map_err(|error| error.to_string());
        assert_eq!(verify(ImageUser { uid: Some(1000), name: String::new() }), Ok(()));
        assert!(
            verify(ImageUser::default())
                .unwrap_err()
                .starts_with("container has runAsNonRoot and image will run as root")
        );
        let named = verify(ImageUser { uid: None, name: "app".into() }).unwrap_err();
        assert!(named.contains("image has non-numeric user (app), cannot verify user is non-root"), "{named}");
    }

    #[test]
    fn namespaces_by_the_spec() {
        let (pod, _) =
            parts(json!({"hostNetwork": true, "shareProcessNamespace": true, "containers": [{"name": "c"}]}));
        let found = namespaces(&pod);
        assert_eq!(found.network, NamespaceMode::Node as i32);
        assert_eq!(found.pid, NamespaceMode::Pod as i32);
        assert_eq!(found.ipc, NamespaceMode::Pod as i32);
    }
}
