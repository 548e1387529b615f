//! Reads any serde source into a typed value in one pass; from JSON text or a value; to decoding; pure.
//!
//! It finds what Go's strict decoder finds, in the same order and words: duplicate and unknown fields (collected), and the first
//! value of a wrong type (an error). Nulls are left out, texts of moments, quantities and bytes are brought to their canonical form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::expected::Expected;
use crate::quantity::{self, QuantityError};
use crate::schema::{self, ObjectType, Type};

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) value: Value,
    /// Unknown and duplicate fields, in the words of upstream, in order of the source; at most 100.
    pub(super) strict: Vec<String>,
}

/// As many strict errors as upstream collects.
const MAX_STRICT: usize = 100;

/// Whose words a wrong type is refused with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Words {
    /// Those of Go's JSON decoder.
    #[default]
    Json,
    /// Those of upstream's converter of decoded trees, which takes the place of the decoder after a strategic merge.
    Tree,
}

/// Reads an object.
pub(super) fn read<'de, D: Deserializer<'de>>(schema: &ObjectType, words: Words, source: D) -> Result<Read, String> {
    let mut state = State { words, ..State::default() };
    let node = Node { state: &mut state, expected: Expected::Object(schema) };
    let value = node.deserialize(source).map_err(|e| e.to_string())?;
    match state.error {
        Some(error) => Err(error),
        None if !value.is_object() && !value.is_null() => Err("expected an object".to_owned()),
        None => {
            Ok(Read { value: if value.is_null() { Value::Object(Map::new()) } else { value }, strict: state.strict })
        }
    }
}

/// Reads anything, looking only for duplicate fields.
pub(super) fn read_any<'de, D: Deserializer<'de>>(source: D) -> Result<(Value, Vec<String>), String> {
    let mut state = State::default();
    let value = Node { state: &mut state, expected: Expected::Any }.deserialize(source).map_err(|e| e.to_string())?;
    Ok((value, state.strict))
}

#[derive(Default)]
struct State<'a> {
    /// Where we are, as strict errors show it: `spec.containers[0].image`.
    path: String,
    /// JSON names of the fields above, without indices and map keys, and the Go struct that has the last of them.
    fields: Vec<&'a str>,
    go_struct: Vec<&'a ObjectType>,
    strict: Vec<String>,
    error: Option<String>,
    words: Words,
}

impl State<'_> {
    fn strict(&mut self, what: &str) {
        if self.strict.len() < MAX_STRICT {
            self.strict.push(format!("{what} field \"{}\"", self.path));
        }
    }

    /// Remembers the first error.
    fn fail(&mut self, error: String) {
        self.error.get_or_insert(error);
    }

    fn mismatch(&mut self, found: &str, expected: &Expected<'_>) {
        if self.words == Words::Tree {
            return self.fail(tree_mismatch(found, &expected.go_type()));
        }
        let target = match self.go_struct.last() {
            Some(object) => format!("Go struct field {}.{}", object.short_name(), self.fields.join(".")),
            None => "Go value".to_owned(),
        };
        self.fail(format!("json: cannot unmarshal {found} into {target} of type {}", expected.go_type()));
    }

    fn at<T>(&mut self, step: &str, dot: bool, inner: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if dot && !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = inner(self);
        self.path.truncate(length);
        result
    }
}

/// What the converter says of a value that fits no member of this Go type.
fn tree_mismatch(found: &str, go_type: &str) -> String {
    let is_bytes = go_type == "[]uint8";
    let found = match found.split(' ').next().unwrap_or_default() {
        "number" if found.contains('.') => "float64",
        "number" => "int64",
        "array" => "slice",
        "object" => "map",
        other => other,
    };
    if go_type.starts_with("map[") {
        format!("cannot restore map from {found}")
    } else if go_type.starts_with("[]") && !is_bytes {
        format!("cannot restore slice from {found}")
    } else if go_type.contains('.') {
        format!("cannot restore struct from: {found}")
    } else if go_type == "string" && found == "int64" {
        format!("cannot convert {found} to string")
    } else {
        format!("unrecognized type: {}", if is_bytes { "slice" } else { go_type })
    }
}

struct Node<'a, 's> {
    state: &'s mut State<'a>,
    expected: Expected<'a>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'a> Node<'a, '_> {
    fn mismatch(self, found: &str) -> Value {
        self.state.mismatch(found, &self.expected);
        Value::Null
    }

    fn integer(self, number: i128, written: &dyn fmt::Display) -> Value {
        let ty = match self.expected {
            Expected::Value(ty) => ty,
            Expected::Any => &Type::Raw,
            Expected::Object(_) => return self.mismatch("number"),
        };
        let fits = !matches!(ty, Type::Int32 | Type::IntOrString) || i32::try_from(number).is_ok();
        match ty {
            Type::Int32 | Type::Int64 | Type::IntOrString => match i64::try_from(number) {
                Ok(number) if fits => Value::from(number),
                Ok(_) | Err(_) => self.mismatch(&format!("number {written}")),
            },
            Type::Double | Type::Raw => i64::try_from(number)
                .map_or_else(|_| u64::try_from(number).map_or(Value::Null, Value::from), Value::from),
            Type::Quantity => self.quantity(&written.to_string()),
            Type::String
            | Type::Bool
            | Type::Bytes
            | Type::Time
            | Type::MicroTime
            | Type::Object(_)
            | Type::Map(_)
            | Type::List(_)
            | Type::WrappedList(_)
            | Type::SchemaOrBool
            | Type::SchemaOrArray
            | Type::SchemaOrStrings => self.mismatch("number"),
        }
    }

    fn quantity(self, text: &str) -> Value {
        match quantity::canonical(text) {
            Ok(text) => Value::String(text),
            Err(error @ (QuantityError::Format | QuantityError::Suffix)) => {
                self.state.fail(error.to_string());
                Value::Null
            }
        }
    }

    fn moment(self, text: &str, write: fn(jiff::Timestamp) -> String) -> Value {
        match crate::time::parse(text) {
            Ok(at) => Value::String(write(at)),
            Err(error) => {
                self.state.fail(error);
                Value::Null
            }
        }
    }

    fn bytes(self, text: String) -> Value {
        let compact = if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], "") } else { text };
        match STANDARD.decode(&compact) {
            Ok(_) => Value::String(compact),
            Err(error) => {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                    base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                        compact.len() / 4 * 4
                    }
                };
                self.state.fail(format!("illegal base64 data at input byte {at}"));
                Value::Null
            }
        }
    }

    fn text(self, text: String) -> Value {
        let ty = match self.expected {
            Expected::Value(ty) => ty,
            Expected::Any => &Type::Raw,
            Expected::Object(_) => return self.mismatch("string"),
        };
        match ty {
            Type::String | Type::Raw | Type::IntOrString => Value::String(text),
            Type::Bytes => self.bytes(text),
            Type::Quantity => self.quantity(text.trim()),
            Type::Time => self.moment(&text, crate::time::seconds),
            Type::MicroTime => self.moment(&text, crate::time::micros),
            Type::Int32
            | Type::Int64
            | Type::Double
            | Type::Bool
            | Type::Object(_)
            | Type::Map(_)
            | Type::List(_)
            | Type::WrappedList(_)
            | Type::SchemaOrBool
            | Type::SchemaOrArray
            | Type::SchemaOrStrings => self.mismatch("string"),
        }
    }

    fn object<'de, A: MapAccess<'de>>(self, object: &'a ObjectType, mut source: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let state = self.state;
        while let Some(key) = source.next_key::<String>()? {
            let field = object.field(&key);
            if field.is_none() && !object.preserve_unknown {
                state.at(&key, true, |state| state.strict("unknown"));
                source.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = state.at(&key, true, |state| {
                if map.contains_key(&key) {
                    state.strict("duplicate");
                }
                state.fields.push(field.map_or("", |f| &f.name));
                state.go_struct.push(object);
                let expected = Expected::Value(field.map_or(&Type::Raw, |f| &f.ty));
                let value = source.next_value_seed(Node { state, expected });
                state.fields.pop();
                state.go_struct.pop();
                value
            })?;
            put(&mut map, key, value);
        }
        Ok(Value::Object(map))
    }

    fn map<'de, A: MapAccess<'de>>(self, inner: &'a Type, mut source: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let state = self.state;
        while let Some(key) = source.next_key::<String>()? {
            let value = state.at(&key, true, |state| {
                if map.contains_key(&key) {
                    state.strict("duplicate");
                }
                source.next_value_seed(Node { state, expected: Expected::Value(inner) })
            })?;
            // Go keeps the key of a null with the zero of the type.
            let value = if value.is_null() { zero(inner) } else { value };
            put(&mut map, key, value);
        }
        Ok(Value::Object(map))
    }

    fn list<'de, A: SeqAccess<'de>>(self, inner: &'a Type, mut source: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let state = self.state;
        loop {
            let step = format!("[{}]", items.len());
            let item = state
                .at(&step, false, |state| source.next_element_seed(Node { state, expected: Expected::Value(inner) }))?;
            match item {
                None => return Ok(Value::Array(items)),
                Some(Value::Null) => items.push(zero(inner)),
                Some(item) => items.push(item),
            }
        }
    }
}

fn zero(ty: &Type) -> Value {
    if matches!(ty, Type::Object(_)) { Value::Object(Map::new()) } else { schema::canonical::zero(ty) }
}

/// Null leaves a field as it is; a second value of an object adds to the first, as Go does it.
fn put(map: &mut Map<String, Value>, key: String, value: Value) {
    match (map.get_mut(&key), value) {
        (_, Value::Null) => {}
        (Some(Value::Object(there)), Value::Object(more)) => more.into_iter().for_each(|(k, v)| put(there, k, v)),
        (_, value) => {
            map.insert(key, value);
        }
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expected.go_type())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(match self.expected {
            Expected::Value(Type::Bool | Type::Raw | Type::SchemaOrBool) | Expected::Any => Value::Bool(value),
            Expected::Value(Type::Quantity) => self.quantity("true"),
            Expected::Value(_) | Expected::Object(_) => self.mismatch("bool"),
        })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.integer(i128::from(value), &value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.integer(i128::from(value), &value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(match self.expected {
            Expected::Value(Type::Double) => schema::canonical::float(value),
            Expected::Value(Type::Raw) | Expected::Any => Value::from(value),
            Expected::Value(Type::Int32 | Type::Int64 | Type::IntOrString) => {
                self.mismatch(&format!("number {value:?}"))
            }
            Expected::Value(Type::Quantity) => self.quantity(&value.to_string()),
            Expected::Value(_) | Expected::Object(_) => self.mismatch("number"),
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(self.text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let expected = self.expected;
        match expected {
            Expected::Value(Type::List(inner) | Type::WrappedList(inner)) => self.list(inner, source),
            Expected::Value(Type::Raw) => self.list(&Type::Raw, source),
            Expected::Any => {
                let mut items = Vec::new();
                let state = self.state;
                loop {
                    let step = format!("[{}]", items.len());
                    let item = state
                        .at(&step, false, |state| source.next_element_seed(Node { state, expected: Expected::Any }))?;
                    match item {
                        Some(item) => items.push(item),
                        None => return Ok(Value::Array(items)),
                    }
                }
            }
            Expected::Value(Type::SchemaOrArray) => self.list(schema::json_schema_props_type(), source),
            Expected::Value(Type::SchemaOrStrings) => self.list(&Type::String, source),
            Expected::Value(_) | Expected::Object(_) => {
                while source.next_element::<IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("array"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let expected = self.expected;
        match expected {
            Expected::Object(object) => self.object(object, source),
            Expected::Value(Type::Object(object)) => self.object(object.get(), source),
            Expected::Value(Type::SchemaOrBool | Type::SchemaOrArray | Type::SchemaOrStrings) => {
                self.object(schema::json_schema_props(), source)
            }
            Expected::Value(Type::Map(inner)) => self.map(inner, source),
            Expected::Any => {
                let mut map = Map::new();
                let state = self.state;
                while let Some(key) = source.next_key::<String>()? {
                    let value = state.at(&key, true, |state| {
                        if map.contains_key(&key) {
                            state.strict("duplicate");
                        }
                        source.next_value_seed(Node { state, expected: Expected::Any })
                    })?;
                    map.insert(key, value);
                }
                Ok(Value::Object(map))
            }
            Expected::Value(Type::Raw) => {
                let mut map = Map::new();
                while let Some((key, value)) = source.next_entry::<String, Value>()? {
                    map.insert(key, value);
                }
                Ok(Value::Object(map))
            }
            Expected::Value(_) => {
                while source.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("object"))
            }
        }
    }

    fn visit_bytes<E: serde::de::Error>(self, _value: &[u8]) -> Result<Value, E> {
        Err(E::custom("bytes are not expected here"))
    }
}
