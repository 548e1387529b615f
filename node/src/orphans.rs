//! What the node keeps for pods that nobody knows; from [`pods`](crate::pods); to cgroups, volumes and logs. Performs IO.
//!
//! A kubelet that is killed while it removes a pod leaves such: neither a source nor the runtime tells the next one of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cgroups::Cgroups;
use crate::directories::Directories;
use crate::kubelet::Kubelet;

/// Removes it; what resists is left for the next time.
pub fn remove(kubelet: &Kubelet, is_known: impl Fn(&str) -> bool) {
    for (uid, logs) in remembered(&kubelet.directories, &kubelet.cgroups) {
        if is_known(&uid) {
            continue;
        }
        tracing::info!(pod.uid = uid, "remove what is left of a pod that nobody knows");
        if let Err(error) = kubelet.volumes.tear_down(&uid) {
            tracing::warn!(pod.uid = uid, %error, "remove volumes");
        }
        if let Err(error) = kubelet.cgroups.remove_pod(&uid) {
            tracing::warn!(pod.uid = uid, %error, "remove cgroup");
        }
        for directory in logs {
            if let Err(error) = std::fs::remove_dir_all(&directory) {
                tracing::warn!(path = %directory.display(), %error, "remove logs");
            }
        }
    }
}

/// UIDs of all pods that something on this node is kept for, with their directories of logs.
fn remembered(directories: &Directories, cgroups: &Cgroups) -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut pods: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for uid in cgroups.pods().into_iter().chain(names(&directories.pods())) {
        pods.entry(uid).or_default();
    }
    for name in names(directories.logs()) {
        // NAMESPACE_NAME_UID: none of the three has an underscore.
        if let [_, _, uid] = name.split('_').collect::<Vec<_>>().as_slice() {
            pods.entry((*uid).to_owned()).or_default().insert(directories.logs().join(&name));
        }
    }
    pods
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_logs_tell_of_pods() {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("logs");
        for directory in ["pods/u1", "pods/u2", "logs/default_web-0_u2", "logs/kube-system_x_u3", "logs/other"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let cgroups = Cgroups::discover("/none-of-these-exists").unwrap();
        let pods = remembered(&Directories::new(root.path(), &logs), &cgroups);
        assert_eq!(pods.keys().collect::<Vec<_>>(), ["u1", "u2", "u3"]);
        assert!(pods["u1"].is_empty());
        assert_eq!(pods["u3"], [logs.join("kube-system_x_u3")].into());
    }
}
