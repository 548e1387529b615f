//! Reads and edits fields of an object by JSON pointer, with the empty value where one is missing. From printers and plugins. Pure.

use serde_json::{Map, Value};

/// What is at `pointer`; without `~` in it, as nearly always, it allocates nothing, unlike `Value::pointer`.
#[must_use]
pub fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.contains('~') {
        return object.pointer(pointer);
    }
    pointer.split('/').skip(1).try_fold(object, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// Text at `pointer`; empty when missing or not text.
#[must_use]
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Text at `pointer`, or `missing` when it is absent or empty.
#[must_use]
pub fn text_or<'a>(object: &'a Value, pointer: &str, missing: &'a str) -> &'a str {
    let found = text(object, pointer);
    if found.is_empty() { missing } else { found }
}

/// Whole number at `pointer`; 0 when missing.
#[must_use]
pub fn number(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Truth value at `pointer`, when it is set.
#[must_use]
pub fn flag(object: &Value, pointer: &str) -> Option<bool> {
    at(object, pointer).and_then(Value::as_bool)
}

/// Elements at `pointer`; none when missing.
#[must_use]
pub fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Strings of the list at `pointer`.
#[must_use]
pub fn texts<'a>(object: &'a Value, pointer: &str) -> Vec<&'a str> {
    items(object, pointer).iter().filter_map(Value::as_str).collect()
}

/// Number of members of the map or list at `pointer`.
#[must_use]
pub fn count(object: &Value, pointer: &str) -> usize {
    let Some(found) = at(object, pointer) else {
        return 0;
    };
    found.as_object().map(Map::len).or_else(|| found.as_array().map(Vec::len)).unwrap_or(0)
}

/// Key and text of each member of the map at `pointer`, in key order.
pub fn pairs<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    at(object, pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

/// Whether something other than null is at `pointer`.
#[must_use]
pub fn present(object: &Value, pointer: &str) -> bool {
    at(object, pointer).is_some_and(|found| !found.is_null())
}

/// Number or text at `pointer` as text (Kubernetes' int-or-string and quantities).
#[must_use]
pub fn int_or_text(object: &Value, pointer: &str) -> Option<String> {
    let found = at(object, pointer)?;
    found.as_str().map(str::to_owned).or_else(|| found.as_number().map(ToString::to_string))
}

/// The condition of the given type in the list at `pointer`.
#[must_use]
pub fn condition<'a>(object: &'a Value, pointer: &str, kind: &str) -> Option<&'a Value> {
    items(object, pointer).iter().find(|condition| text(condition, "/type") == kind)
}

/// Whether `/status/conditions` has the type with status True.
#[must_use]
pub fn condition_true(object: &Value, kind: &str) -> bool {
    items(object, "/status/conditions")
        .iter()
        .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

/// The map at `key` of `object`, made when missing; none when `object` or the member is something else.
pub fn map_mut<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let members = object.as_object_mut()?;
    if members.get(key).is_none_or(Value::is_null) {
        members.insert(key.to_owned(), Value::Object(Map::new()));
    }
    members.get_mut(key)?.as_object_mut()
}

/// The list at `key` of `object`, made when missing; none when `object` or the member is something else.
pub fn list_mut<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Vec<Value>> {
    let members = object.as_object_mut()?;
    if members.get(key).is_none_or(Value::is_null) {
        members.insert(key.to_owned(), Value::Array(Vec::new()));
    }
    members.get_mut(key)?.as_array_mut()
}

/// Sets `key` of the map at `pointer`; nothing happens when there is no such map.
pub fn set(object: &mut Value, pointer: &str, key: &str, value: Value) {
    if let Some(members) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
        members.insert(key.to_owned(), value);
    }
}
