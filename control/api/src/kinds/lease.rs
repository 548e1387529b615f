//! Lease; pure.

use serde_json::Value;

use super::pod_validation::{Errors, integer};
use crate::field::{FieldError, Path};
use crate::strategy::Strategy;

#[derive(Debug)]
pub(super) struct Lease;

impl Strategy for Lease {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        if let Some(seconds) = integer(spec, "leaseDurationSeconds")
            && seconds <= 0
        {
            let at = path.child("leaseDurationSeconds");
            errors.push(FieldError::invalid_number(&at, seconds, "must be greater than 0"));
        }
        if let Some(count) = integer(spec, "leaseTransitions")
            && count < 0
        {
            let at = path.child("leaseTransitions");
            errors.push(FieldError::invalid_number(&at, count, "must be greater than or equal to 0"));
        }
        errors
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}
