//! What the status of a kind that makes pods may say, in upstream's words (`pkg/apis/apps/validation`, v1.34); from strategies; pure.

use serde_json::Value;

use super::field_rules::not_negative;
use super::pod_validation::{Errors, integer};
use crate::field::{FieldError, Path};

/// Rules of a changed status; `kind` is the kind's name.
pub fn check(kind: &str, object: &Value, errors: &mut Errors) {
    let (status, path) = (&object["status"], Path::new("status"));
    let numbers: &[&str] = match kind {
        "Deployment" => &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "collisionCount",
        ],
        "StatefulSet" => &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
        "DaemonSet" => &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
        _ => &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
    };
    not_negative(status, numbers, &path, errors);
    let number = |field: &str| integer(status, field).unwrap_or(0);
    let bounded: &[&str] = match kind {
        "Deployment" => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "StatefulSet" => &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        "DaemonSet" => &[],
        _ => &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    };
    for field in bounded.iter().filter(|field| number(field) > number("replicas")) {
        let detail = "cannot be greater than status.replicas";
        errors.push(FieldError::invalid_number(&path.child(field), number(field), detail));
    }
    if kind != "DaemonSet" && number("availableReplicas") > number("readyReplicas") {
        let detail = if kind == "StatefulSet" {
            "cannot be greater than status.readyReplicas"
        } else {
            "cannot be greater than readyReplicas"
        };
        errors.push(FieldError::invalid_number(&path.child("availableReplicas"), number("availableReplicas"), detail));
    }
}
