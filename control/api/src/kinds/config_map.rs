//! ConfigMap; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::name;
use crate::strategy::{Part, Strategy};

/// All values together may have this many bytes.
const MAX_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut bytes = 0;
        for (field, other) in [("data", "binaryData"), ("binaryData", "data")] {
            let path = Path::new(field);
            for (key, value) in entries(object, field) {
                let at = path.key(key);
                errors.extend(name::config_key(key).into_iter().map(|m| FieldError::invalid_text(&at, key, m)));
                if field == "data" && object.get(other).is_some_and(|o| o.get(key).is_some()) {
                    errors.push(FieldError::invalid_text(&at, key, "duplicate of key present in binaryData"));
                }
                bytes += if field == "data" { value.len() } else { STANDARD.decode(value).map_or(0, |b| b.len()) };
            }
        }
        if bytes > MAX_BYTES {
            errors.push(FieldError::too_long(&Path::root(), MAX_BYTES));
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if old.get("immutable") == Some(&Value::Bool(true)) {
            if new.get("immutable") != old.get("immutable") {
                errors
                    .push(FieldError::forbidden(&Path::new("immutable"), "field is immutable when `immutable` is set"));
            }
            for field in ["data", "binaryData"] {
                if new.get(field) != old.get(field) {
                    errors.push(FieldError::forbidden(&Path::new(field), "field is immutable when `immutable` is set"));
                }
            }
        }
        errors.extend(self.validate_create(new));
        errors
    }
}

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = object.get(field).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}
