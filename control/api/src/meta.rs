//! Reads and writes object metadata inside a `Value`; from every module that handles objects; to them; pure.

use serde_json::{Map, Value};

/// The text at `metadata.<field>`; empty when absent.
#[must_use]
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`; empty when absent.
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`; empty when absent.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`; empty when absent.
#[must_use]
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`; empty when absent.
#[must_use]
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.generation`; 0 when absent.
#[must_use]
pub fn generation(object: &Value) -> i64 {
    object.get("metadata").and_then(|m| m.get("generation")).and_then(Value::as_i64).unwrap_or_default()
}

/// `metadata.deletionTimestamp`, when a deletion has begun.
#[must_use]
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    Some(text(object, "deletionTimestamp")).filter(|t| !t.is_empty())
}

/// `metadata.finalizers`.
#[must_use]
pub fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.get("metadata").and_then(|m| m.get("finalizers")).and_then(Value::as_array);
    list.map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Key and value of every entry of `metadata.labels`, by key.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    entries(object, "labels")
}

/// Key and value of every entry of `metadata.annotations`, by key.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    entries(object, "annotations")
}

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}

/// `metadata` for writing; made when absent (or when it is no object, which decoding rules out).
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    map_mut(object, "metadata")
}

/// The object at `field` for writing; made when absent or of another type.
pub fn map_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let outer = as_map_mut(value);
    as_map_mut(outer.entry(field).or_insert_with(|| Value::Object(Map::new())))
}

/// The value as an object for writing; replaced by an empty one when it is something else.
pub fn as_map_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("made an object above")
        }
    }
}

/// Sets `metadata.<field>`; an empty text removes it.
pub fn set_text(object: &mut Value, field: &str, value: &str) {
    let metadata = metadata_mut(object);
    if value.is_empty() {
        metadata.remove(field);
    } else {
        metadata.insert(field.to_owned(), Value::String(value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes() {
        let mut object = json!({"metadata": {"name": "a", "labels": {"k": "v"}}});
        assert_eq!((name(&object), namespace(&object), generation(&object)), ("a", "", 0));
        assert_eq!(labels(&object).collect::<Vec<_>>(), [("k", "v")]);
        set_text(&mut object, "namespace", "n");
        set_text(&mut object, "name", "");
        assert_eq!(object["metadata"], json!({"namespace": "n", "labels": {"k": "v"}}));
        assert_eq!(deletion_timestamp(&object), None);
    }
}
