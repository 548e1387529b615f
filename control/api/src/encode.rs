//! Writes objects for answers and storage; from objects; to JSON, YAML or protobuf bytes; pure.

use serde_json::Value;

use crate::protobuf;
use crate::schema::ObjectType;

/// Canonical JSON: sorted keys, no spaces.
#[must_use]
pub fn to_json(object: &Value) -> Vec<u8> {
    serde_json::to_vec(object).expect("a JSON value has no keys but strings, and memory takes all that is written")
}

/// YAML.
///
/// # Errors
/// The writer's words; no object made of JSON is known to cause them.
pub fn to_yaml(object: &Value) -> Result<String, String> {
    serde_saphyr::to_string(object).map_err(|e| e.to_string())
}

/// Kubernetes protobuf with magic bytes and envelope. The object's type must have a form on the wire: every built-in kind and list has.
#[must_use]
pub fn to_protobuf(object: &Value, schema: &ObjectType) -> Vec<u8> {
    protobuf::encode_body(object, schema)
}
