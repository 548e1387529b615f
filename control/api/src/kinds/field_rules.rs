//! Rules that fields of many kinds share: enumerations, bounds, immutability; from the kinds' validation; to field errors; pure.

use serde_json::Value;

use super::pod_validation::Errors;
use crate::field::{FieldError, Path};

/// Words of numbers and quantities that must not be negative.
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";
/// Words of fields that stay as they were made.
pub(super) const IMMUTABLE: &str = "field is immutable";

/// A text that must be one of `supported`; absent and empty pass when `optional`.
pub(super) fn one_of(
    object: &Value,
    field: &str,
    supported: &[&str],
    optional: bool,
    path: &Path,
    errors: &mut Errors,
) {
    let value = object[field].as_str().unwrap_or_default();
    if supported.contains(&value) || (optional && value.is_empty()) {
        return;
    }
    errors.push(FieldError::not_supported(&path.child(field), &Value::from(value), supported));
}

/// Numbers that must not be negative when given.
pub(super) fn not_negative(object: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if let Some(value) = object[*field].as_i64()
            && value < 0
        {
            errors.push(FieldError::invalid_number(&path.child(field), value, NEGATIVE));
        }
    }
}

/// A text that must be given.
pub(super) fn required(object: &Value, field: &str, path: &Path, errors: &mut Errors) -> bool {
    let given = object[field].as_str().is_some_and(|text| !text.is_empty());
    if !given {
        errors.push(FieldError::required(&path.child(field), ""));
    }
    given
}

/// A field that stays as it was made; `shown` is the field's path.
pub(super) fn immutable(new: &Value, old: &Value, shown: &Path, errors: &mut Errors) {
    if new != old {
        errors.push(FieldError::invalid(shown, new, IMMUTABLE));
    }
}

/// The text of a list's items.
pub(super) fn texts<'a>(object: &'a Value, field: &str) -> Vec<&'a str> {
    object[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
