//! The mounts of a container: volumes with subPath and propagation, /etc/hosts, the termination message file; from
//! [`start`](super::start); to the container's description. Writes the managed files.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use k8s_cri::v1::{Mount, MountPropagation};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use crate::kubelet::Kubelet;
use crate::pod;
use crate::spec::container_config::TERMINATION_PATH;
use crate::spec::expansion::expand;
use crate::spec::hosts_file::hosts_file;
use crate::volumes::{Mounted, VolumeError, io, subpath};

const HOSTS: &str = "/etc/hosts";

/// Why a container's mounts cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountError {
    #[error("cannot find volume \"{volume}\" to mount into container \"{container}\"")]
    NoVolume { volume: String, container: String },
    #[error("missing value for \"{0}\" in subPathExpr: define the environment variable before using it")]
    Expression(String),
    #[error("failed to prepare subPath for volumeMount \"{volume}\" of container \"{container}\": {source}")]
    SubPath { volume: String, container: String, source: Box<VolumeError> },
    #[error(transparent)]
    Files(Box<VolumeError>),
}

/// The mounts, in the order of the spec.
pub(super) fn mounts(
    kubelet: &Kubelet,
    pod: &Pod,
    container: &Container,
    mounted: &Mounted,
    pod_ips: &[IpAddr],
    environment: &[(String, String)],
    restart_count: u32,
) -> Result<Vec<Mount>, MountError> {
    let mut mounts = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        mounts.push(volume_mount(kubelet, pod, container, mounted, environment, (index, mount))?);
    }
    let has = |path: &str, mounts: &[Mount]| mounts.iter().any(|mount| mount.container_path == path);
    if !has(HOSTS, &mounts) {
        let path = kubelet.directories.hosts_file(pod::uid(pod));
        let node_file = fs::read_to_string(HOSTS).unwrap_or_default();
        let text = hosts_file(pod, pod_ips, &kubelet.config.cluster_domain, &node_file);
        write(&path, &text, 0o644).map_err(Box::new).map_err(MountError::Files)?;
        mounts.push(plain(HOSTS, &path));
    }
    let inside = container.termination_message_path.as_deref().unwrap_or(TERMINATION_PATH);
    if !inside.is_empty() && !has(inside, &mounts) {
        let path = kubelet.directories.container(pod::uid(pod), &container.name).join(restart_count.to_string());
        write(&path, "", 0o666).map_err(Box::new).map_err(MountError::Files)?;
        mounts.push(plain(inside, &path));
    }
    Ok(mounts)
}

fn plain(inside: &str, outside: &Path) -> Mount {
    Mount { container_path: inside.to_owned(), host_path: outside.display().to_string(), ..Mount::default() }
}

/// Writes in place: a running container has the file mounted.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), VolumeError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("create", parent))?;
    }
    fs::write(path, text).map_err(io("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io("set mode of", path))
}

fn volume_mount(
    kubelet: &Kubelet,
    pod: &Pod,
    container: &Container,
    mounted: &Mounted,
    environment: &[(String, String)],
    (index, mount): (usize, &VolumeMount),
) -> Result<Mount, MountError> {
    let missing = || MountError::NoVolume { volume: mount.name.clone(), container: container.name.clone() };
    let volume = mounted.get(&mount.name).ok_or_else(missing)?;
    let mut host_path = volume.clone();
    if let Some(inner) = sub_path(mount, environment)? {
        let target = kubelet.directories.subpath(pod::uid(pod), &mount.name, &container.name, index);
        subpath::prepare(volume, &inner, &target).map_err(|source| MountError::SubPath {
            volume: mount.name.clone(),
            container: container.name.clone(),
            source: Box::new(source),
        })?;
        host_path = target;
    }
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    Ok(Mount {
        container_path: if mount.mount_path.starts_with('/') {
            mount.mount_path.clone()
        } else {
            format!("/{}", mount.mount_path)
        },
        host_path: host_path.display().to_string(),
        readonly: mount.read_only.unwrap_or(false),
        propagation: propagation as i32,
        ..Mount::default()
    })
}

fn sub_path(mount: &VolumeMount, environment: &[(String, String)]) -> Result<Option<String>, MountError> {
    if let Some(plain) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
        return Ok(Some(plain.to_owned()));
    }
    let Some(expression) = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty()) else { return Ok(None) };
    let missing = std::cell::Cell::new(false);
    let lookup = |name: &str| {
        let value = environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        missing.set(missing.get() || value.is_none());
        value
    };
    let path = expand(expression, lookup);
    if missing.get() { Err(MountError::Expression(expression.to_owned())) } else { Ok(Some(path)) }
}
