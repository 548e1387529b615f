//! Small steps for filling in defaults; used by the strategies in `kinds/`; pure.

use serde_json::{Map, Value};

/// Sets `field` when it is absent or null.
pub fn absent(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.to_owned(), value.into());
    }
}

/// An older field that names one value and a newer list whose first item is that value: each fills the other, the older wins.
/// `entry` makes an item of the list, `value` reads one.
pub fn mirrored(
    map: &mut Map<String, Value>,
    one: &str,
    many: &str,
    entry: impl Fn(&str) -> Value,
    value: impl Fn(&Value) -> Option<&str>,
) {
    let first = map.get(many).and_then(Value::as_array).and_then(|list| list.first());
    let first = first.and_then(value).unwrap_or_default().to_owned();
    let given = map.get(one).and_then(Value::as_str).unwrap_or_default().to_owned();
    if given.is_empty() && !first.is_empty() {
        map.insert(one.to_owned(), Value::String(first));
    } else if given != first {
        map.insert(many.to_owned(), Value::Array(vec![entry(&given)]));
    }
}

/// Sets the texts of `fields` that are absent or empty.
pub fn absent_texts(map: &mut Map<String, Value>, fields: &[(&str, &str)]) {
    for (field, value) in fields {
        if map.get(*field).is_none_or(|v| v.is_null() || v.as_str() == Some("")) {
            map.insert((*field).to_owned(), Value::String((*value).to_owned()));
        }
    }
}

/// Sets the numbers of `fields` that are absent or zero.
pub fn absent_numbers(map: &mut Map<String, Value>, fields: &[(&str, i64)]) {
    for (field, value) in fields {
        if map.get(*field).is_none_or(|v| v.is_null() || v.as_i64() == Some(0)) {
            map.insert((*field).to_owned(), Value::from(*value));
        }
    }
}

/// Calls `then` on the object at `field`, if there is one.
pub fn object_at(map: &mut Map<String, Value>, field: &str, then: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(inner)) = map.get_mut(field) {
        then(inner);
    }
}

/// Calls `then` on every object in the list at `field`.
pub fn each(map: &mut Map<String, Value>, field: &str, mut then: impl FnMut(&mut Map<String, Value>)) {
    if let Some(Value::Array(items)) = map.get_mut(field) {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(&mut then);
    }
}

/// The object at `field`, made when absent.
pub fn object<'a>(map: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    crate::meta::as_map_mut(map.entry(field).or_insert(Value::Null))
}
