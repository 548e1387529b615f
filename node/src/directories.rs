//! Where the kubelet keeps things; from the configuration; to every part. Pure.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod;

/// The kubelet's directories, laid out as upstream's.
#[derive(Clone, Debug)]
pub struct Directories {
    root: PathBuf,
    logs: PathBuf,
}

impl Directories {
    /// Below `root`; logs below `logs`.
    pub fn new(root: &Path, logs: &Path) -> Self {
        Self { root: root.to_owned(), logs: logs.to_owned() }
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Directory of all pods.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// Directory of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// Directory of a volume.
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin).join(name)
    }

    /// Bind mount for a subPath.
    pub fn subpath(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        self.pod(uid).join("volume-subpaths").join(volume).join(container).join(index.to_string())
    }

    /// Directory of a container's own files.
    pub fn container(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("containers").join(container)
    }

    /// The pod's /etc/hosts.
    pub fn hosts_file(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Directory of all pods' logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Directory of a pod's logs.
    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs.join(format!("{}_{}_{}", pod::namespace(pod), pod::name(pod), pod::uid(pod)))
    }
}
