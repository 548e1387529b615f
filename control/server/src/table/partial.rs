//! `PartialObjectMetadata`: an object without spec and status. From objects; to answers and table rows. Pure.

use bytes::BufMut;
use serde_json::{Map, Value, json};

use super::ViewVersion;
use crate::object::Object;

/// Appends the metadata of a stored object, without parsing it.
pub fn add_stored(to: &mut impl BufMut, object: &Object, version: ViewVersion) {
    to.put_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    to.put_slice(version.api_version().as_bytes());
    to.put_slice(b"\",");
    to.put_slice(&object.json_metadata());
    to.put_u8(b'}');
}

/// The metadata of `object` alone.
#[must_use]
pub fn partial_object(object: &Value, version: ViewVersion) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": metadata,
    })
}

/// The metadata of each item, with the list's own metadata (resource version, continue, remaining count).
#[must_use]
pub fn partial_list(items: &[Value], list_metadata: Value, version: ViewVersion) -> Value {
    let items: Vec<Value> = items.iter().map(|item| partial_object(item, version)).collect();
    let mut list = list_head(list_metadata, version);
    list["items"] = Value::Array(items);
    list
}

/// Such a list without its items.
#[must_use]
pub fn list_head(list_metadata: Value, version: ViewVersion) -> Value {
    json!({"kind": "PartialObjectMetadataList", "apiVersion": version.api_version(), "metadata": list_metadata})
}
