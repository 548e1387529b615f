//! Writes objects as messages; from answers; to the wire; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::schema::{self, Field, ObjectType, Type};

/// Writes the fields of `map` whose tags begin with `embedded`, in order of their tags.
pub(super) fn message(object: &ObjectType, embedded: &[u32], map: &Map<String, Value>, out: &mut Vec<u8>) {
    let depth = embedded.len();
    let mut here: Vec<(u32, Option<&Field>)> = Vec::new();
    for field in object.fields().iter().filter(|f| f.tags.starts_with(embedded)) {
        match field.tags.get(depth) {
            Some(&tag) if field.tags.len() == depth + 1 => here.push((tag, Some(field))),
            Some(&tag) if !here.iter().any(|(t, _)| *t == tag) => here.push((tag, None)),
            Some(_) | None => {}
        }
    }
    here.sort_by_key(|(tag, _)| *tag);
    for (tag, field) in here {
        match field {
            Some(field) => {
                if let Some(value) = map.get(field.name.as_ref()) {
                    self::field(&field.ty, tag, value, out);
                }
            }
            None => {
                let mut inner = Vec::new();
                let path: Vec<u32> = embedded.iter().copied().chain([tag]).collect();
                message(object, &path, map, &mut inner);
                bytes(tag, &inner, out);
            }
        }
    }
}

/// Writes all occurrences of a field; null and values of a wrong type are left out.
fn field(ty: &Type, tag: u32, value: &Value, out: &mut Vec<u8>) {
    match (ty, value) {
        (_, Value::Null) => {}
        (Type::List(item), Value::Array(items)) => items.iter().for_each(|v| element(item, tag, v, out)),
        (Type::Map(item), Value::Object(map)) => {
            for (key, value) in map {
                let mut entry = Vec::new();
                bytes(1, key.as_bytes(), &mut entry);
                element(item, 2, value, &mut entry);
                bytes(tag, &entry, out);
            }
        }
        (Type::List(_) | Type::Map(_), _) => {}
        (ty, value) => element(ty, tag, value, out),
    }
}

fn element(ty: &Type, tag: u32, value: &Value, out: &mut Vec<u8>) {
    match (ty, value) {
        (Type::Int32 | Type::Int64, Value::Number(number)) => {
            varint_field(tag, number.as_i64().unwrap_or_default().cast_unsigned(), out);
        }
        (Type::Bool, Value::Bool(truth)) => varint_field(tag, u64::from(*truth), out),
        (Type::Double, Value::Number(number)) => {
            varint(u64::from(tag) << 3 | 1, out);
            out.extend_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Type::String, Value::String(text)) => bytes(tag, text.as_bytes(), out),
        (Type::Bytes, Value::String(text)) => bytes(tag, &STANDARD.decode(text).unwrap_or_default(), out),
        (Type::Object(object), Value::Object(map)) => nested(tag, out, |out| message(object.get(), &[], map, out)),
        (Type::Quantity, Value::String(text)) => nested(tag, out, |out| bytes(1, text.as_bytes(), out)),
        (Type::IntOrString, Value::Number(number)) => nested(tag, out, |out| {
            varint_field(1, 0, out);
            varint_field(2, number.as_i64().unwrap_or_default().cast_unsigned(), out);
            bytes(3, b"", out);
        }),
        (Type::IntOrString, Value::String(text)) => nested(tag, out, |out| {
            varint_field(1, 1, out);
            varint_field(2, 0, out);
            bytes(3, text.as_bytes(), out);
        }),
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            if let Ok(at) = crate::time::parse(text) {
                nested(tag, out, |out| {
                    varint_field(1, at.as_second().cast_unsigned(), out);
                    varint_field(2, i64::from(at.subsec_nanosecond()).cast_unsigned(), out);
                });
            }
        }
        (Type::Raw, value) => nested(tag, out, |out| bytes(1, value.to_string().as_bytes(), out)),
        (Type::WrappedList(item), Value::Array(items)) => {
            nested(tag, out, |out| items.iter().for_each(|v| element(item, 1, v, out)));
        }
        (Type::SchemaOrBool, Value::Bool(truth)) => nested(tag, out, |out| varint_field(1, u64::from(*truth), out)),
        (Type::SchemaOrBool, Value::Object(map)) => nested(tag, out, |out| {
            varint_field(1, 1, out);
            nested(2, out, |out| message(schema::json_schema_props(), &[], map, out));
        }),
        (Type::SchemaOrArray | Type::SchemaOrStrings, Value::Object(map)) => {
            nested(tag, out, |out| nested(1, out, |out| message(schema::json_schema_props(), &[], map, out)));
        }
        (Type::SchemaOrArray, Value::Array(items)) => nested(tag, out, |out| {
            for item in items.iter().filter_map(Value::as_object) {
                nested(2, out, |out| message(schema::json_schema_props(), &[], item, out));
            }
        }),
        (Type::SchemaOrStrings, Value::Array(items)) => nested(tag, out, |out| {
            items.iter().filter_map(Value::as_str).for_each(|text| bytes(2, text.as_bytes(), out));
        }),
        _ => {}
    }
}

fn nested(tag: u32, out: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    inner(&mut content);
    bytes(tag, &content, out);
}

fn varint_field(tag: u32, number: u64, out: &mut Vec<u8>) {
    varint(u64::from(tag) << 3, out);
    varint(number, out);
}

/// Writes a field of bytes.
pub(super) fn bytes(tag: u32, content: &[u8], out: &mut Vec<u8>) {
    length_field(tag, content.len(), out);
    out.extend_from_slice(content);
}

/// Writes what stands before the content of a field of so many bytes.
pub(super) fn length_field(tag: u32, length: usize, out: &mut Vec<u8>) {
    varint(u64::from(tag) << 3 | 2, out);
    // A length of memory always fits.
    varint(u64::try_from(length).unwrap_or(u64::MAX), out);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}
