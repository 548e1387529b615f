//! Hashes of pod templates, and comparing templates. From Deployments and the like; to names and labels. Pure.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// The label that tells the pods of one template from those of another.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// Characters of names: no vowels, no digits alike letters, so that no words arise.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for `value`, the same for equal values; `collisions` makes another when names met.
pub fn hash(value: &Value, collisions: Option<i32>) -> String {
    let mut state = Fnv32::new();
    state.write(canonical(value.clone()).to_string().as_bytes());
    if let Some(collisions) = collisions {
        state.write(&collisions.to_le_bytes());
    }
    safe_encode(&state.0.to_string())
}

/// [`hash`] of a pod template, apart from the hash label.
pub fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    hash(&template_value(template), collisions)
}

/// Whether two templates are the same apart from the hash label.
pub fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    a == b || canonical(template_value(a)) == canonical(template_value(b))
}

fn template_value(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    value
}

/// Drops what is null or empty: absent and empty mean the same in the API.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, field)| (name, canonical(field)))
                .filter(|(_, field)| !is_empty(field))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Writes `text` in characters that are safe in names.
pub fn safe_encode(text: &str) -> String {
    text.bytes().filter_map(|byte| SAFE.get(usize::from(byte) % SAFE.len())).map(|safe| char::from(*safe)).collect()
}

/// FNV-1a with 32 bits.
struct Fnv32(u32);

impl Fnv32 {
    fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    fn template(labels: &[(&str, &str)]) -> PodTemplateSpec {
        PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
                ..ObjectMeta::default()
            }),
            spec: None,
        }
    }

    #[test]
    fn the_hash_is_stable_and_ignores_its_own_label() {
        let plain = template(&[("a", "b")]);
        let labelled = template(&[("a", "b"), (POD_TEMPLATE_HASH, "x")]);
        assert_eq!(template_hash(&plain, None), template_hash(&labelled, None));
        assert!(same_template(&plain, &labelled));
        assert!(!same_template(&plain, &template(&[("a", "c")])));
        assert_ne!(template_hash(&plain, None), template_hash(&plain, Some(1)));
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        let mut fnv = Fnv32::new();
        fnv.write(b"foobar");
        assert_eq!(fnv.0, 0xbf9c_f968);
    }
}
