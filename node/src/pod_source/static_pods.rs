//! Pods from manifest files in a directory, looked at every few seconds; from files; to [`pods`](crate::pods) and
//! [`mirror`](super::mirror). Reads files.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Toleration};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};

use super::{Change, Source};
use crate::pod::{self, CONFIG_HASH, CONFIG_SOURCE};

/// Why a manifest is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not readable.
    #[error("read manifest {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither JSON nor YAML of a pod.
    #[error("manifest {path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Looks at the directory again and again; tells `changes` what came and went, and `current` what there is.
pub async fn watch(
    directory: PathBuf,
    node: String,
    period: Duration,
    changes: mpsc::Sender<Change>,
    current: watch::Sender<Vec<Arc<Pod>>>,
) {
    let mut known: BTreeMap<String, Arc<Pod>> = BTreeMap::new();
    let mut complained = HashSet::new();
    loop {
        let (pods, errors) = read_directory(&directory, &node);
        for error in errors {
            let text = format!("{error:?}");
            if complained.insert(text) {
                tracing::warn!(error = ?error, "static pod");
            }
        }
        let now: BTreeMap<String, Arc<Pod>> =
            pods.into_iter().map(|pod| (pod::uid(&pod).to_owned(), Arc::new(pod))).collect();
        for (uid, pod) in now.iter().filter(|(uid, _)| !known.contains_key(*uid)) {
            tracing::info!(pod = pod::formatted(pod), %uid, "static pod");
            if changes.send(Change::Applied(Source::File, Arc::clone(pod))).await.is_err() {
                return;
            }
        }
        if changes.send(Change::Complete(Source::File, now.keys().cloned().collect())).await.is_err() {
            return;
        }
        if known != now {
            current.send_replace(now.values().cloned().collect());
        }
        known = now;
        tokio::time::sleep(period).await;
    }
}

/// Every pod of the directory, and what could not be read.
pub fn read_directory(directory: &Path, node: &str) -> (Vec<Pod>, Vec<ManifestError>) {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return (Vec::new(), vec![ManifestError::Read { path: directory.to_owned(), source }]),
    };
    paths.sort();
    let (mut pods, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|source| ManifestError::Read { path: path.clone(), source });
        match text.and_then(|text| parse(&path, &text, node)) {
            Ok(pod) => pods.push(pod),
            Err(error) => errors.push(error),
        }
    }
    (pods, errors)
}

/// A manifest as the pod that runs: named for the node, with a UID out of its text.
fn parse(path: &Path, text: &str, node: &str) -> Result<Pod, ManifestError> {
    let refuse = |reason: String| ManifestError::Parse { path: path.to_owned(), reason };
    let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| refuse(error.to_string()))?;
    let mut pod: Pod = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
    let name = pod.metadata.name.clone().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| refuse("metadata.name is missing".to_owned()))?;
    if pod.spec.as_ref().is_none_or(|spec| spec.containers.is_empty()) {
        return Err(refuse("spec.containers is missing or empty".to_owned()));
    }
    pod.metadata.name = Some(format!("{name}-{node}"));
    pod.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let hash = Sha256::new().chain_update(path.to_string_lossy().as_bytes()).chain_update([0]).chain_update(node);
    let hash = hash.chain_update([0]).chain_update(text).finalize();
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(CONFIG_HASH.to_owned(), hash.clone());
    annotations.insert(CONFIG_SOURCE.to_owned(), "file".to_owned());
    annotations.remove(pod::CONFIG_MIRROR);
    pod.metadata.uid = Some(hash);
    pod.status = None;
    if let Some(spec) = pod.spec.as_mut() {
        spec.node_name = Some(node.to_owned());
        // Taints do not move static pods.
        let everything = Toleration {
            effect: Some("NoExecute".to_owned()),
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        };
        let tolerations = spec.tolerations.get_or_insert_default();
        if !tolerations.contains(&everything) {
            tolerations.push(everything);
        }
    }
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_yaml_and_json_and_names_pods_for_the_node() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: c, image: x}]\n");
        write(
            "b.json",
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"name":"c"}]}}"#,
        );
        write("c.yaml", "kind: Pod\nmetadata: {}\n");
        write(".hidden", "x");
        let (pods, errors) = read_directory(directory.path(), "n1");
        let names: Vec<_> = pods.iter().map(pod::name).collect();
        assert_eq!(names, ["a-n1", "b-n1"]);
        assert!(pods.iter().all(pod::is_static));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().ends_with("metadata.name is missing"));
        let before = pod::uid(&pods[0]).to_owned();
        write("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: c, image: y}]\n");
        assert_ne!(pod::uid(&read_directory(directory.path(), "n1").0[0]), before);
    }
}
