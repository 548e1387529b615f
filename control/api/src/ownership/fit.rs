//! Whether an applied object fits the schema, in upstream's words; used by [`super`]; pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::path::Step;
use super::typed::Shape;
use crate::schema::Type;

/// What keeps an applied object from being read against the schema, in upstream's words; one per field.
pub(super) fn problems(shape: Shape<'_>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(shape, value, "", &mut found);
    found
}

fn check(shape: Shape<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut expected = |what: &str| {
        found.push(format!("{path}: expected {what}, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)))
    };
    match (shape, value) {
        (_, Value::Null) => {}
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            for (key, inner) in map {
                let step = Step::Field(key.clone());
                let at = format!("{path}.{key}");
                if let Shape::Struct(object) = shape
                    && object.field(key).is_none()
                    && !object.preserve_unknown
                {
                    found.push(format!("{at}: field not declared in schema"));
                } else {
                    check(shape.inner(&step), inner, &at, found);
                }
            }
        }
        (Shape::Struct(_) | Shape::Map(_), _) => expected("map"),
        (Shape::Set | Shape::Keyed(..), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                match shape.item(item) {
                    Err(why) => found.push(format!("{path}: element {index}: {why}")),
                    Ok(step) => {
                        if !seen.insert(step.clone()) {
                            found.push(format!("{path}: duplicate entries for key {}", step.shown()));
                        }
                        check(shape.inner(&step), item, &format!("{path}{}", step.shown()), found);
                    }
                }
            }
        }
        (Shape::Set | Shape::Keyed(..), _) => expected("list"),
        (Shape::Leaf(Some(ty)), value) => check_leaf(ty, value, path, found),
        (Shape::Leaf(None), _) => {}
    }
}

fn check_leaf(ty: &Type, value: &Value, path: &str, found: &mut Vec<String>) {
    let what = match (ty, value) {
        (_, Value::Null) => return,
        (Type::String | Type::Bytes | Type::Time | Type::MicroTime, Value::String(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Int32 | Type::Int64 | Type::Double, Value::Number(_))
        | (Type::Quantity | Type::IntOrString, Value::String(_) | Value::Number(_))
        | (Type::Raw | Type::SchemaOrBool | Type::SchemaOrArray | Type::SchemaOrStrings, _) => return,
        (Type::Object(object), Value::Object(map)) => {
            for (key, inner) in map {
                match object.get().field(key) {
                    Some(field) => check_leaf(&field.ty, inner, &format!("{path}.{key}"), found),
                    None if object.get().preserve_unknown => {}
                    None => found.push(format!("{path}.{key}: field not declared in schema")),
                }
            }
            return;
        }
        (Type::Map(inner), Value::Object(map)) => {
            map.iter().for_each(|(key, v)| check_leaf(inner, v, &format!("{path}.{key}"), found));
            return;
        }
        (Type::List(inner) | Type::WrappedList(inner), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(i, v)| check_leaf(inner, v, &format!("{path}[{i}]"), found));
            return;
        }
        (Type::String | Type::Bytes | Type::Time | Type::MicroTime | Type::Quantity | Type::IntOrString, _) => "string",
        (Type::Bool, _) => "boolean",
        (Type::Int32 | Type::Int64 | Type::Double, _) => "numeric (int or float)",
        (Type::Object(_) | Type::Map(_), _) => "map",
        (Type::List(_) | Type::WrappedList(_), _) => "list",
    };
    found.push(format!("{path}: expected {what}, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)));
}

/// A value as Go's `%#v` writes decoded JSON.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => crate::field::go_quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", crate::field::go_quote(k), go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
    }
}
