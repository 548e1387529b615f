//! Writes label maps and selectors as text (`a=b,c in (d,e)`). From the printers; to their cells. Pure.

use serde_json::Value;

use crate::json_field as field;

/// What a table shows for an empty map or selector.
pub const NONE: &str = "<none>";

/// Labels as `key=value` pairs in key order, or [`NONE`].
#[must_use]
pub fn labels(object: &Value, pointer: &str) -> String {
    let written: Vec<String> = field::pairs(object, pointer).map(|(key, value)| format!("{key}={value}")).collect();
    or_none(written.join(","))
}

/// A label selector (`matchLabels`, `matchExpressions`) in canonical form, or [`NONE`] when it selects by nothing.
#[must_use]
pub fn selector(object: &Value, pointer: &str) -> String {
    or_none(selector_or_empty(object, pointer))
}

/// A label selector in canonical form: requirements by key, values sorted; empty when there are none.
#[must_use]
pub fn selector_or_empty(object: &Value, pointer: &str) -> String {
    let Some(selector) = object.pointer(pointer) else {
        return String::new();
    };
    let mut requirements: Vec<(&str, String)> =
        field::pairs(selector, "/matchLabels").map(|(key, value)| (key, format!("{key}={value}"))).collect();
    for expression in field::items(selector, "/matchExpressions") {
        let key = field::text(expression, "/key");
        let mut values = field::texts(expression, "/values");
        values.sort_unstable();
        let values = values.join(",");
        let written = match field::text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        requirements.push((key, written));
    }
    requirements.sort_by_key(|(key, _)| *key);
    let written: Vec<String> = requirements.into_iter().map(|(_, text)| text).collect();
    written.join(",")
}

/// `list` joined by commas, cut to `most` with a hint how many of `total` are left out.
#[must_use]
pub fn cut_list(list: &[String], most: usize, total: usize) -> String {
    let shown = list.get(..most.min(list.len())).unwrap_or(list).join(",");
    if total > most { format!("{shown} + {} more...", total - most) } else { shown }
}

fn or_none(text: String) -> String {
    if text.is_empty() { NONE.to_owned() } else { text }
}
