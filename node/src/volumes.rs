//! Volumes of a pod: makes them, keeps their contents up to date, removes them; from [`pod_worker`](crate::pod_worker); to
//! directories and mounts below the kubelet's root. Performs IO.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use kube::{Api, Client};

use crate::directories::Directories;
use crate::objects::{ObjectError, Objects};
use crate::pod;
use crate::spec::field_path::Surroundings;

pub mod atomic_writer;
pub mod host_path;
pub mod mounts;
pub mod payload;
pub mod subpath;
pub mod token;

/// Why a volume cannot be mounted. The text ends up in the `FailedMount` event.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Something referred to is absent.
    #[error("{kind} \"{name}\" not found")]
    NotFound {
        /// Kind, lowercase.
        kind: &'static str,
        /// Name.
        name: String,
    },
    /// An object lacks keys that the volume names.
    #[error("references non-existent {kind} key: {key}")]
    NoKey {
        /// Kind in the words of the event: `config`, `secret`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// The API could not be asked.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The API answered with an error.
    #[error("{what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// A path does not fit the hostPath type.
    #[error("hostPath type check failed: {path} is not {wanted}")]
    HostPath {
        /// The path.
        path: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A field of the pod has no value.
    #[error(transparent)]
    Field(#[from] crate::spec::field_path::FieldError),
    /// A path in the volume is not allowed.
    #[error("invalid path {0:?}: must be relative and must not contain '..'")]
    Path(String),
    /// The file system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was done.
        action: &'static str,
        /// With which path.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A kind of volume that this kubelet cannot mount.
    #[error("no volume plugin matched: volume source {0} is not supported")]
    Unsupported(&'static str),
    /// The API server granted a token without saying which.
    #[error("the API server answered the token request without a token")]
    NoToken,
    /// The claim is not bound to a volume yet.
    #[error("persistentvolumeclaim \"{0}\" is not bound")]
    Unbound(String),
}

/// Makes an [`VolumeError::Io`] of an IO error.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> VolumeError {
    let path = path.display().to_string();
    move |source| VolumeError::Io { action, path, source }
}

/// Mounts volumes of this node's pods.
pub struct Volumes {
    directories: Directories,
    client: Option<Client>,
    tokens: token::Tokens,
}

/// Where each volume of a pod is on the node.
pub type Mounted = BTreeMap<String, PathBuf>;

impl Volumes {
    /// Nothing mounted yet.
    pub fn new(directories: Directories, client: Option<Client>) -> Self {
        Self { directories, tokens: token::Tokens::new(client.clone()), client }
    }

    /// Makes every volume of the pod, or brings its contents up to date; safe to repeat.
    ///
    /// # Errors
    /// The first volume that failed, with its name.
    pub async fn mount_all(
        &self,
        pod: &Pod,
        objects: &Objects,
        surroundings: &Surroundings,
    ) -> Result<Mounted, (String, VolumeError)> {
        let mut mounted = Mounted::new();
        for volume in pod::spec(pod).volumes.iter().flatten() {
            let path =
                self.mount(pod, volume, objects, surroundings).await.map_err(|error| (volume.name.clone(), error))?;
            mounted.insert(volume.name.clone(), path);
        }
        Ok(mounted)
    }

    async fn mount(
        &self,
        pod: &Pod,
        volume: &Volume,
        objects: &Objects,
        surroundings: &Surroundings,
    ) -> Result<PathBuf, VolumeError> {
        let group = pod::spec(pod).security_context.as_ref().and_then(|context| context.fs_group);
        let directory = |plugin: &str| self.directories.volume(pod::uid(pod), plugin, &volume.name);
        if let Some(source) = &volume.host_path {
            let path = PathBuf::from(&source.path);
            host_path::prepare(&path, source.type_.as_deref().unwrap_or_default())?;
            return Ok(path);
        }
        if let Some(source) = &volume.empty_dir {
            let path = directory("kubernetes.io~empty-dir");
            let fresh = !path.exists();
            mounts::make_directory(&path, 0o777)?;
            if source.medium.as_deref() == Some("Memory") {
                let size = source.size_limit.as_ref().and_then(crate::quantity::value);
                mounts::tmpfs(&path, size, 0o777)?;
            }
            if fresh {
                mounts::own_by_group(&path, group)?;
            }
            return Ok(path);
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return self.claimed(pod, &claim.claim_name).await;
        }
        if volume.ephemeral.is_some() {
            return self.claimed(pod, &format!("{}-{}", pod::name(pod), volume.name)).await;
        }
        let (plugin, memory) = match volume {
            Volume { config_map: Some(_), .. } => ("kubernetes.io~configmap", false),
            Volume { secret: Some(_), .. } => ("kubernetes.io~secret", true),
            Volume { downward_api: Some(_), .. } => ("kubernetes.io~downward-api", true),
            Volume { projected: Some(_), .. } => ("kubernetes.io~projected", true),
            other => return Err(VolumeError::Unsupported(unsupported(other))),
        };
        let files = payload::payload(pod, volume, objects, &self.tokens, surroundings).await?;
        let path = directory(plugin);
        mounts::make_directory(&path, 0o777)?;
        if memory {
            mounts::tmpfs(&path, None, 0o777)?;
        }
        atomic_writer::write(&path, &files, group)?;
        Ok(path)
    }

    /// The directory behind a bound claim (local and hostPath volumes).
    async fn claimed(&self, pod: &Pod, claim: &str) -> Result<PathBuf, VolumeError> {
        let client = self.client.clone().ok_or(VolumeError::Unsupported("persistentVolumeClaim (no API server)"))?;
        let api = |what: String| move |source| VolumeError::Api { what, source: Box::new(source) };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), pod::namespace(pod));
        let found = claims.get_opt(claim).await.map_err(api(format!("get persistentvolumeclaim {claim}")))?;
        let found =
            found.ok_or_else(|| VolumeError::NotFound { kind: "persistentvolumeclaim", name: claim.to_owned() })?;
        let name = found.spec.and_then(|spec| spec.volume_name).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| VolumeError::Unbound(claim.to_owned()))?;
        let volumes: Api<PersistentVolume> = Api::all(client);
        let volume = volumes.get(&name).await.map_err(api(format!("get persistentvolume {name}")))?;
        let spec = volume.spec.unwrap_or_default();
        if let Some(source) = spec.host_path {
            let path = PathBuf::from(&source.path);
            host_path::prepare(&path, source.type_.as_deref().unwrap_or("DirectoryOrCreate"))?;
            return Ok(path);
        }
        let local =
            spec.local.ok_or(VolumeError::Unsupported("a persistent volume that is neither local nor hostPath"))?;
        let path = PathBuf::from(local.path);
        host_path::prepare(&path, "Directory")?;
        Ok(path)
    }

    /// Unmounts and removes everything of a pod.
    ///
    /// # Errors
    /// Something is still in use.
    pub fn tear_down(&self, uid: &str) -> Result<(), VolumeError> {
        self.tokens.forget(uid);
        let root = self.directories.pod(uid);
        mounts::unmount_below(&root)?;
        match fs::remove_dir_all(&root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &root)(error)),
            _ => Ok(()),
        }
    }
}

/// The name of a source this kubelet cannot mount.
fn unsupported(volume: &Volume) -> &'static str {
    match volume {
        Volume { csi: Some(_), .. } => "csi",
        Volume { nfs: Some(_), .. } => "nfs",
        Volume { image: Some(_), .. } => "image",
        Volume { iscsi: Some(_), .. } => "iscsi",
        _ => "of this kind",
    }
}
