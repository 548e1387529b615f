//! Event, in both groups; pure.

use serde_json::Value;

use super::field_rules::{immutable, one_of};
use super::pod_validation::{Errors, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::strategy::{Part, Strategy};

const MOST_NOTE: usize = 1024;
const MOST_WORDS: usize = 128;

#[derive(Debug)]
pub(super) struct Event {
    /// Of the core group, rather than `events.k8s.io`.
    pub(super) core: bool,
}

impl Strategy for Event {
    fn validate_create(&self, event: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let about = if self.core { "involvedObject" } else { "regarding" };
        let of = text(&event[about], "namespace").unwrap_or_default();
        let namespace = meta::namespace(event);
        // Events about objects without namespace live in `default`.
        let matches = if of.is_empty() { matches!(namespace, "" | "default") } else { of == namespace };
        if !matches {
            let path = Path::new("involvedObject").child("namespace");
            errors.push(FieldError::invalid_text(&path, of, "does not match event.namespace"));
        }
        if !self.core {
            new_event(event, &mut errors);
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if !self.core {
            // Fields are called as core calls them.
            for (field, core) in [
                ("regarding", "involvedObject"),
                ("reason", "reason"),
                ("note", "message"),
                ("type", "type"),
                ("action", "action"),
                ("eventTime", "eventTime"),
                ("reportingController", "reportingController"),
                ("reportingInstance", "reportingInstance"),
                ("related", "related"),
            ] {
                immutable(&new[field], &old[field], &Path::new(core), &mut errors);
            }
        }
        errors
    }

    fn field_labels(&self) -> &'static [&'static str] {
        if !self.core {
            return &[
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reason",
                "reportingController",
                "type",
            ];
        }
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ]
    }

    fn selectable_field(&self, object: &Value, label: &str) -> String {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        match label.split_once('.') {
            Some((part, field)) => text(object.get(part).and_then(|p| p.get(field))),
            None if label == "source" => {
                let component = text(object.get("source").and_then(|s| s.get("component")));
                if component.is_empty() { text(object.get("reportingComponent")) } else { component }
            }
            None => text(object.get(label)),
        }
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn new_event(event: &Value, errors: &mut Errors) {
    if event["eventTime"].is_null() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let controller = text(event, "reportingController").unwrap_or_default();
    let path = Path::new("reportingController");
    if controller.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    words(&path, controller, name::qualified_name(controller), errors);
    for field in ["reportingInstance", "action", "reason"] {
        let path = Path::new(field);
        let value = text(event, field).unwrap_or_default();
        if value.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if value.len() > MOST_WORDS {
            let detail = format!("can have at most {MOST_WORDS} characters");
            errors.push(FieldError::invalid_text(&path, "", detail));
        }
    }
    one_of(event, "type", &["Normal", "Warning"], false, &Path::root(), errors);
    if text(event, "note").is_some_and(|note| note.len() > MOST_NOTE) {
        let detail = format!("can have at most {MOST_NOTE} characters");
        errors.push(FieldError::invalid_text(&Path::new("message"), "", detail));
    }
}
