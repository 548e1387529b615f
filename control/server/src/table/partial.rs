//! `PartialObjectMetadata`: an object without spec and status. From objects; to answers and table rows. Pure.

use serde_json::{Map, Value, json};

use super::ViewVersion;

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
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": version.api_version(),
        "metadata": list_metadata,
        "items": items,
    })
}
