//! Brings an object to the form Go would write: empty optional fields away, fields that are always written present; from decoding and
//! strategies; to storage; pure.

use serde_json::{Map, Value};

use super::{Empty, Field, ObjectType, Type, meta};

/// Brings `value`, an object of type `object`, to canonical form in place. Undeclared fields are left alone.
///
/// Idempotent; call it again after anything that may have emptied a field.
pub fn canonicalize(object: &ObjectType, value: &mut Value) {
    if let Value::Object(map) = value {
        canonicalize_map(object, map);
    }
}

fn canonicalize_map(object: &ObjectType, map: &mut Map<String, Value>) {
    for field in object.fields() {
        match map.get_mut(field.name.as_ref()) {
            Some(value) => {
                inside(&field.ty, value);
                // What is stored as protobuf cannot tell an empty list from none.
                let empty = value.as_array().is_some_and(Vec::is_empty);
                if empty && field.empty == Empty::Zero && is_nil_written(&field.ty) {
                    *value = Value::Null;
                }
                if goes(field, value) {
                    map.remove(field.name.as_ref());
                }
            }
            None => {
                if let Some(zero) = written_when_absent(field) {
                    map.insert(field.name.clone().into_owned(), zero);
                }
            }
        }
    }
}

fn inside(ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(object), Value::Object(map)) => canonicalize_map(object.get(), map),
        (Type::List(item), Value::Array(items)) if !item.is_scalar() => items.iter_mut().for_each(|v| inside(item, v)),
        (Type::Map(item), Value::Object(map)) if !item.is_scalar() => map.values_mut().for_each(|v| inside(item, v)),
        (Type::SchemaOrBool | Type::SchemaOrArray | Type::SchemaOrStrings, Value::Object(map)) => {
            canonicalize_map(super::json_schema_props(), map);
        }
        (Type::SchemaOrArray, Value::Array(items)) => {
            items.iter_mut().for_each(|v| canonicalize(super::json_schema_props(), v));
        }
        _ => {}
    }
}

/// Whether a present value is left out by Go.
fn goes(field: &Field, value: &Value) -> bool {
    match field.empty {
        Empty::Omit => is_zero(&field.ty, value),
        Empty::Keep => value.is_null(),
        Empty::Null => false,
        Empty::Zero => value.is_null() && !is_nil_written(&field.ty),
    }
}

fn is_zero(ty: &Type, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_i64() == Some(0) || n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(ty, Type::Map(_)),
    }
}

/// Whether Go writes null for the zero of this type.
fn is_nil_written(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Time | Type::MicroTime | Type::List(_) | Type::Map(_) | Type::WrappedList(_) | Type::Raw | Type::Bytes
    )
}

fn written_when_absent(field: &Field) -> Option<Value> {
    match field.empty {
        Empty::Omit | Empty::Keep => None,
        Empty::Null => Some(Value::Null),
        Empty::Zero => Some(zero(&field.ty)),
    }
}

/// The zero of a type as Go writes it.
#[must_use]
pub fn zero(ty: &Type) -> Value {
    match ty {
        Type::String => Value::String(String::new()),
        Type::Int32 | Type::Int64 | Type::IntOrString | Type::Double => Value::from(0),
        Type::Bool => Value::Bool(false),
        Type::Quantity => Value::String("0".to_owned()),
        Type::Object(object) => {
            let mut map = Map::new();
            canonicalize_map(object.get(), &mut map);
            Value::Object(map)
        }
        Type::Bytes
        | Type::Time
        | Type::MicroTime
        | Type::Raw
        | Type::Map(_)
        | Type::List(_)
        | Type::WrappedList(_)
        | Type::SchemaOrBool
        | Type::SchemaOrArray
        | Type::SchemaOrStrings => Value::Null,
    }
}

/// A floating-point number as Go writes it: whole ones without fraction.
#[must_use]
pub fn float(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = number.fract() == 0.0 && number.abs() <= EXACT;
    let integer = whole.then(|| format!("{number:.0}").parse::<i64>().ok()).flatten();
    integer.map_or_else(|| Value::from(number), Value::from)
}

/// Brings the metadata of any object to canonical form.
pub fn canonicalize_metadata(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata") {
        canonicalize(meta("ObjectMeta").get(), metadata);
    }
}
