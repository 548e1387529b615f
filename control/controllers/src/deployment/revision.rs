//! Revisions and the other annotations that a Deployment keeps on its ReplicaSets (kubectl reads them for history and
//! undo). From the API's objects; to the plan. Pure.

use super::sets::Set;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Revision of a set, and of the deployment's current set.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions that a set had before it was rolled back to.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The deployment's replicas when the set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Replicas plus surge when the set was last scaled.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of the deployment that its sets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Longest history kept, in bytes.
const HISTORY_LENGTH: usize = 2000;

/// Revision of a set; 0 when it has none.
pub fn of(set: &Set) -> i64 {
    set.annotation(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

/// The revision that the current set must have: one more than any old one.
pub fn next(old: &[Set]) -> i64 {
    old.iter().map(of).max().unwrap_or(0).saturating_add(1)
}

/// Annotations of the deployment that its sets get.
pub fn copied(deployment: &Deployment) -> BTreeMap<String, String> {
    let annotations = deployment.metadata.annotations.iter().flatten();
    annotations
        .filter(|(key, _)| !NOT_COPIED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// What must change in the annotations of the current set: copies of the deployment's, and a revision above all old ones.
pub fn changes(deployment: &Deployment, set: &Set, revision: i64) -> Map<String, Value> {
    let mut changes = Map::new();
    for (key, value) in copied(deployment) {
        if set.annotation(&key) != Some(value.as_str()) {
            changes.insert(key, Value::String(value));
        }
    }
    if of(set) < revision {
        changes.insert(REVISION.to_owned(), Value::String(revision.to_string()));
        if let Some(before) = set.annotation(REVISION) {
            let history = set.annotation(REVISION_HISTORY).unwrap_or_default();
            let mut revisions: Vec<&str> = history.split(',').filter(|revision| !revision.is_empty()).collect();
            revisions.push(before);
            while revisions.iter().map(|revision| revision.len() + 1).sum::<usize>() > HISTORY_LENGTH {
                revisions.remove(0);
            }
            changes.insert(REVISION_HISTORY.to_owned(), Value::String(revisions.join(",")));
        }
    }
    changes
}
