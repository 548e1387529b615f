//! Secret; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::field_rules::immutable;
use super::pod_validation::{Errors, text};
use crate::decode::go_json;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::absent_texts;
use crate::strategy::{Part, Strategy};

/// All values together may have this many bytes.
const MAX_BYTES: usize = 1024 * 1024;
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const REDACTED: &str = "\"<secret contents redacted>\"";

#[derive(Debug)]
pub(super) struct Secret;

impl Strategy for Secret {
    fn defaults(&self, object: &mut Value) {
        let map = meta::as_map_mut(object);
        absent_texts(map, &[("type", "Opaque")]);
        // Plain texts are written only: they become data.
        if let Some(Value::Object(texts)) = map.remove("stringData") {
            let data = meta::as_map_mut(map.entry("data").or_insert(Value::Null));
            for (key, text) in texts {
                data.insert(key, Value::String(STANDARD.encode(text.as_str().unwrap_or_default())));
            }
        }
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn prepare_for_update(&self, _part: Part<'_>, new: &mut Value, old: &Value) {
        // A PUT that leaves the type out keeps it.
        if text(new, "type").unwrap_or_default().is_empty() {
            meta::as_map_mut(new).extend(old.get("type").map(|kind| ("type".to_owned(), kind.clone())));
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("data");
        let mut bytes = 0;
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            let at = path.key(key);
            errors.extend(name::config_key(key).into_iter().map(|m| FieldError::invalid_text(&at, key, m)));
            bytes += value.as_str().and_then(|text| STANDARD.decode(text).ok()).map_or(0, |data| data.len());
        }
        if bytes > MAX_BYTES {
            errors.push(FieldError::too_long(&path, MAX_BYTES));
        }
        by_type(object, &path, &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        immutable(&new["type"], &old["type"], &Path::new("type"), &mut errors);
        if old["immutable"] == Value::Bool(true) {
            let sealed = "field is immutable when `immutable` is set";
            if new["immutable"] != old["immutable"] {
                errors.push(FieldError::forbidden(&Path::new("immutable"), sealed));
            }
            if new["data"] != old["data"] {
                errors.push(FieldError::forbidden(&Path::new("data"), sealed));
            }
        }
        errors.extend(self.validate_create(new));
        errors
    }
}

fn by_type(object: &Value, path: &Path, errors: &mut Errors) {
    let data = &object["data"];
    let require = |keys: &[&str], errors: &mut Errors| {
        for key in keys.iter().filter(|key| data.get(**key).is_none()) {
            errors.push(FieldError::required(&path.key(key), ""));
        }
    };
    match text(object, "type").unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let account = meta::annotations(object).find(|(key, _)| *key == ACCOUNT).map_or("", |(_, value)| value);
            if account.is_empty() {
                let at = Path::new("metadata").child("annotations").key(ACCOUNT);
                errors.push(FieldError::required(&at, ""));
            }
        }
        "kubernetes.io/dockercfg" => docker(data, ".dockercfg", path, errors),
        "kubernetes.io/dockerconfigjson" => docker(data, ".dockerconfigjson", path, errors),
        // One of the two is enough.
        "kubernetes.io/basic-auth" if data.get("username").is_none() && data.get("password").is_none() => {
            require(&["username", "password"], errors);
        }
        "kubernetes.io/ssh-auth" if data["ssh-privatekey"].as_str().is_none_or(str::is_empty) => {
            errors.push(FieldError::required(&path.key("ssh-privatekey"), ""));
        }
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"], errors),
        _ => {}
    }
}

fn docker(data: &Value, key: &str, path: &Path, errors: &mut Errors) {
    let Some(encoded) = data.get(key).and_then(Value::as_str) else {
        errors.push(FieldError::required(&path.key(key), ""));
        return;
    };
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let words = go_json::syntax_error(&bytes).or_else(|| not_an_object(&bytes));
    if let Some(words) = words {
        errors.push(FieldError::invalid_shown(&path.key(key), REDACTED, words));
    }
}

/// Go's words for a well-formed text that is no object; null is an empty one.
fn not_an_object(json: &[u8]) -> Option<String> {
    let kind = match serde_json::from_slice(json).ok()? {
        Value::Object(_) | Value::Null => return None,
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}
