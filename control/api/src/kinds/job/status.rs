//! What a job's status may say; pure.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::kinds::field_rules::not_negative;
use crate::kinds::pod_validation::{Errors, integer, items, text};

pub(super) fn check(new: &Value, old: &Value, errors: &mut Errors) {
    let (status, path) = (&new["status"], Path::new("status"));
    not_negative(status, &["active", "succeeded", "failed", "ready", "terminating"], &path, errors);
    if let Some(ready) = integer(status, "ready")
        && ready > integer(status, "active").unwrap_or(0)
    {
        let detail = "cannot set more ready pods than active";
        errors.push(FieldError::invalid_number(&path.child("ready"), ready, detail));
    }
    let has = |job: &Value, kind: &str| {
        items(&job["status"], "conditions")
            .iter()
            .any(|condition| text(condition, "type") == Some(kind) && text(condition, "status") == Some("True"))
    };
    let (complete, failed) = (has(new, "Complete"), has(new, "Failed"));
    let conditions = path.child("conditions");
    if complete && !has(old, "Complete") {
        if !has(new, "SuccessCriteriaMet") {
            let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
            errors.push(plain(&conditions, detail));
        }
        if status["completionTime"].is_null() {
            let detail = "completionTime is required for Complete jobs";
            errors.push(FieldError::required(&path.child("completionTime"), detail));
        }
    }
    if failed && !has(old, "Failed") && !has(new, "FailureTarget") {
        let detail = "cannot set Failed=True condition without the FailureTarget=true condition";
        errors.push(plain(&conditions, detail));
    }
    if complete && failed {
        errors.push(plain(&conditions, "cannot set Complete=True and Failed=true conditions"));
    }
    let finished = complete || failed;
    if finished && status["startTime"].is_null() {
        errors.push(FieldError::required(&path.child("startTime"), "startTime is required for finished job"));
    }
    if finished && integer(status, "active").unwrap_or(0) > 0 {
        let active = integer(status, "active").unwrap_or(0);
        let detail = "active>0 is invalid for finished job";
        errors.push(FieldError::invalid_number(&path.child("active"), active, detail));
    }
    if !complete && !status["completionTime"].is_null() {
        let detail = "cannot set completionTime when there is no Complete=True condition";
        errors.push(FieldError::invalid(&path.child("completionTime"), &status["completionTime"], detail));
    }
}

/// Invalid, with nothing but words (upstream omits the value here).
fn plain(path: &Path, detail: &str) -> FieldError {
    FieldError { shown: None, ..FieldError::invalid_text(path, "", detail) }
}
