//! What is allowed in a pod's spec but most likely not meant (`pkg/api/pod/warnings.go`, v1.34); from strategies; pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod_validation::{integer, items, text};
use crate::field::Path;

/// Volume kinds that are gone or going, with what became of them.
const VOLUMES: [(&str, &str); 8] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
];
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Warnings about the spec at `path`, unless it is the same as before.
pub(super) fn of_spec(spec: &Value, old: Option<&Value>, path: &Path) -> Vec<String> {
    if old == Some(spec) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        let gone = VOLUMES.iter().filter(|(kind, _)| !volume[*kind].is_null());
        warnings.extend(gone.map(|(kind, words)| format!("{}.{kind}: {words}", path.child("volumes").index(index))));
    }
    for (index, secret) in items(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").unwrap_or_default().is_empty() {
            let at = path.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{at}: invalid empty name \"\""));
        }
    }
    for (index, constraint) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        if constraint["labelSelector"].is_null() {
            let at = path.child("topologySpreadConstraints").index(index).child("labelSelector");
            warnings.push(format!("{at}: {NULL_SELECTOR}"));
        }
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec, list).iter().enumerate() {
            of_container(container, &path.child(list).index(index), &mut warnings);
        }
    }
    warnings
}

/// Ports and variables that occur twice: the second hides the first.
fn of_container(container: &Value, path: &Path, warnings: &mut Vec<String>) {
    let mut ports = BTreeMap::new();
    for (index, port) in items(container, "ports").iter().enumerate() {
        let key =
            (integer(port, "containerPort"), text(port, "protocol"), text(port, "hostIP"), integer(port, "hostPort"));
        let at = path.child("ports").index(index);
        match ports.get(&key) {
            Some(first) => warnings.push(format!("{at}: duplicate port definition with {first}")),
            None => {
                ports.insert(key, at);
            }
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, variable) in items(container, "env").iter().enumerate() {
        let name = text(variable, "name").unwrap_or_default();
        if names.contains(&name) {
            let at = path.child("env").index(index);
            warnings.push(format!(
                "{at}: hides previous definition of \"{name}\", which may be unexpected when using apply"
            ));
        }
        names.push(name);
    }
}
