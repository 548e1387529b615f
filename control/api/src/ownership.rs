//! Who set which field: `metadata.managedFields`; from decoded objects; to them; pure.

use serde_json::Value;

use crate::field::{FieldError, Path};

/// Rules of `metadata.managedFields` that hold for every object.
#[must_use]
pub fn validate(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let list = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    for (index, entry) in list.into_iter().flatten().enumerate() {
        let at = path.index(index);
        let operation = entry.get("operation").cloned().unwrap_or_else(|| Value::String(String::new()));
        if !matches!(operation.as_str(), Some("Apply" | "Update")) {
            errors.push(FieldError::invalid(&at.child("operation"), &operation, "must be `Apply` or `Update`"));
        }
        let fields_type = entry.get("fieldsType").and_then(Value::as_str).unwrap_or_default();
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(FieldError::invalid_text(&at.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
    }
    errors
}
