//! `ControllerRevision`; pure.

use serde_json::Value;

use super::field_rules::{immutable, not_negative};
use super::pod_validation::Errors;
use crate::field::{FieldError, Path};
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if object["data"].is_null() {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
        }
        not_negative(object, &["revision"], &Path::root(), &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        immutable(&new["data"], &old["data"], &Path::new("data"), &mut errors);
        errors
    }
}
