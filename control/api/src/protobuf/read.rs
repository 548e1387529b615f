//! Reads messages into objects; from the wire; to decoding; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::wire::{Fields, Wire, utf8};
use super::{MAX_DEPTH, ProtobufError};
use crate::quantity;
use crate::schema::{self, Field, ObjectType, Type};

/// Reads a message of type `object` into `map`. `embedded`: the tags of embedded messages that lead here, whose fields stand in the
/// same JSON object.
pub(super) fn message(
    object: &ObjectType,
    embedded: &[u32],
    bytes: &[u8],
    map: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::TooDeep);
    }
    let mut fields = Fields::new(bytes);
    while let Some((tag, wire)) = fields.next_field()? {
        let mut path = embedded.to_vec();
        path.push(tag);
        if let Some(field) = object.fields().iter().find(|f| *f.tags == *path) {
            put(field, wire, map, depth)?;
        } else if let Wire::Bytes(inner) = wire
            && object.fields().iter().any(|f| f.tags.len() > path.len() && f.tags.starts_with(&path))
        {
            message(object, &path, inner, map, depth + 1)?;
        }
    }
    Ok(())
}

/// Adds one occurrence of a field: lists and maps grow, anything else is replaced.
fn put(field: &Field, wire: Wire<'_>, map: &mut Map<String, Value>, depth: usize) -> Result<(), ProtobufError> {
    let name = field.name.as_ref();
    match &field.ty {
        Type::List(item) => {
            let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(items) = list else { return Ok(()) };
            if let Wire::Bytes(packed) = wire
                && matches!(**item, Type::Int32 | Type::Int64)
            {
                // Numbers may be packed.
                let mut numbers = Fields::new(packed);
                while !numbers.is_empty() {
                    items.push(value(item, name, Wire::Varint(numbers.varint()?), depth)?);
                }
            } else {
                items.push(value(item, name, wire, depth)?);
            }
        }
        Type::Map(item) => {
            let Wire::Bytes(entry) = wire else { return Err(wrong(name, wire)) };
            let (mut key, mut content) = (String::new(), None);
            let mut fields = Fields::new(entry);
            while let Some((tag, wire)) = fields.next_field()? {
                match (tag, wire) {
                    (1, Wire::Bytes(text)) => utf8(text, name)?.clone_into(&mut key),
                    (2, wire) => content = Some(value(item, name, wire, depth)?),
                    _ => {}
                }
            }
            let content = content.unwrap_or_else(|| schema::canonical::zero(item));
            if let Value::Object(entries) = map.entry(name).or_insert_with(|| Value::Object(Map::new())) {
                entries.insert(key, content);
            }
        }
        Type::String
        | Type::Int32
        | Type::Int64
        | Type::Double
        | Type::Bool
        | Type::Bytes
        | Type::Quantity
        | Type::IntOrString
        | Type::Time
        | Type::MicroTime
        | Type::Raw
        | Type::Object(_)
        | Type::WrappedList(_)
        | Type::SchemaOrBool
        | Type::SchemaOrArray
        | Type::SchemaOrStrings => {
            let read = value(&field.ty, name, wire, depth)?;
            // A message that occurs twice is merged.
            match (map.get_mut(name), read) {
                (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
                (_, Value::Null) => {}
                (_, read) => {
                    map.insert(name.to_owned(), read);
                }
            }
        }
    }
    Ok(())
}

fn wrong(field: &str, wire: Wire<'_>) -> ProtobufError {
    ProtobufError::WireType { wire: wire.form(), field: field.to_owned() }
}

/// Reads one value; null: the zero of a Go value, which JSON leaves out.
fn value(ty: &Type, name: &str, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (ty, wire) {
        (Type::Int32 | Type::Int64, Wire::Varint(number)) => Value::from(number.cast_signed()),
        (Type::Bool, Wire::Varint(number)) => Value::Bool(number != 0),
        (Type::Double, Wire::Fixed64(bits)) => schema::canonical::float(f64::from_bits(bits)),
        (Type::String, Wire::Bytes(bytes)) => Value::String(utf8(bytes, name)?.to_owned()),
        (Type::Bytes, Wire::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
        (Type::Object(object), Wire::Bytes(bytes)) => {
            let mut map = Map::new();
            message(object.get(), &[], bytes, &mut map, depth + 1)?;
            Value::Object(map)
        }
        (Type::Quantity, Wire::Bytes(bytes)) => {
            let text = Parts::read(bytes)?.text(1, name)?;
            let text = if text.is_empty() { "0" } else { text };
            Value::String(quantity::canonical(text).map_err(|e| ProtobufError::Value(e.to_string()))?)
        }
        (Type::IntOrString, Wire::Bytes(bytes)) => {
            let parts = Parts::read(bytes)?;
            if parts.number(1) == 1 {
                Value::String(parts.text(3, name)?.to_owned())
            } else {
                Value::from(parts.number(2))
            }
        }
        (Type::Time | Type::MicroTime, Wire::Bytes([])) => Value::Null,
        (Type::Time | Type::MicroTime, Wire::Bytes(bytes)) => {
            let parts = Parts::read(bytes)?;
            let nanos = i32::try_from(parts.number(2)).unwrap_or_default();
            let at = jiff::Timestamp::new(parts.number(1), nanos).map_err(|e| ProtobufError::Value(e.to_string()))?;
            Value::String(if matches!(ty, Type::Time) { crate::time::seconds(at) } else { crate::time::micros(at) })
        }
        (Type::Raw, Wire::Bytes(bytes)) => match Parts::read(bytes)?.bytes(1) {
            [] => Value::Null,
            json => serde_json::from_slice(json).map_err(|e| ProtobufError::Value(e.to_string()))?,
        },
        (Type::WrappedList(item), Wire::Bytes(bytes)) => {
            let mut items = Vec::new();
            let mut fields = Fields::new(bytes);
            while let Some((tag, wire)) = fields.next_field()? {
                if tag == 1 {
                    items.push(value(item, name, wire, depth + 1)?);
                }
            }
            Value::Array(items)
        }
        (Type::SchemaOrBool, Wire::Bytes(bytes)) => {
            let parts = Parts::read(bytes)?;
            if parts.has(2) { props(parts.bytes(2), depth)? } else { Value::Bool(parts.number(1) != 0) }
        }
        (Type::SchemaOrArray, Wire::Bytes(bytes)) => {
            let parts = Parts::read(bytes)?;
            if parts.has(1) {
                props(parts.bytes(1), depth)?
            } else {
                Value::Array(parts.all(2).map(|b| props(b, depth)).collect::<Result<_, _>>()?)
            }
        }
        (Type::SchemaOrStrings, Wire::Bytes(bytes)) => {
            let parts = Parts::read(bytes)?;
            if parts.has(1) {
                props(parts.bytes(1), depth)?
            } else {
                Value::Array(
                    parts
                        .all(2)
                        .map(|b| Ok(Value::String(utf8(b, name)?.to_owned())))
                        .collect::<Result<_, ProtobufError>>()?,
                )
            }
        }
        (
            Type::Int32
            | Type::Int64
            | Type::Bool
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Object(_)
            | Type::Quantity
            | Type::IntOrString
            | Type::Time
            | Type::MicroTime
            | Type::Raw
            | Type::WrappedList(_)
            | Type::SchemaOrBool
            | Type::SchemaOrArray
            | Type::SchemaOrStrings
            | Type::List(_)
            | Type::Map(_),
            wire,
        ) => return Err(wrong(name, wire)),
    })
}

fn props(bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let mut map = Map::new();
    message(schema::json_schema_props(), &[], bytes, &mut map, depth + 2)?;
    Ok(Value::Object(map))
}

/// All fields of a small message.
struct Parts<'a>(Vec<(u32, Wire<'a>)>);

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut fields = Fields::new(bytes);
        let mut parts = Vec::new();
        while let Some(field) = fields.next_field()? {
            parts.push(field);
        }
        Ok(Self(parts))
    }

    fn has(&self, tag: u32) -> bool {
        self.0.iter().any(|(t, _)| *t == tag)
    }

    fn number(&self, tag: u32) -> i64 {
        let number = |wire: &Wire<'_>| if let Wire::Varint(number) = wire { Some(number.cast_signed()) } else { None };
        let found = self.0.iter().rev().filter(|(t, _)| *t == tag).find_map(|(_, w)| number(w));
        found.unwrap_or_default()
    }

    fn all(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> {
        let bytes = |wire: &Wire<'a>| if let Wire::Bytes(bytes) = wire { Some(*bytes) } else { None };
        self.0.iter().filter(move |(t, _)| *t == tag).filter_map(move |(_, w)| bytes(w))
    }

    fn bytes(&self, tag: u32) -> &'a [u8] {
        self.all(tag).last().unwrap_or_default()
    }

    fn text(&self, tag: u32, name: &str) -> Result<&'a str, ProtobufError> {
        utf8(self.bytes(tag), name)
    }
}
