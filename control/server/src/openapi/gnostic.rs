//! Writes a version 2 document as protobuf, in the messages of gnostic's `openapi.v2`, which older clients ask for. From [`super`]. Pure.
//!
//! Only what our documents contain is written; numbers are those of `OpenAPIv2.proto` of gnostic-models v0.6.

use serde_json::{Map, Value};

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or(0);
            value >>= 7;
            if value == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text; empty ones are left out, as proto3 does.
    fn text(&mut self, field: u32, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str).filter(|text| !text.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u32, value: Option<&Value>) {
        for text in value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn truth(&mut self, field: u32, value: Option<&Value>) {
        if value.and_then(Value::as_bool) == Some(true) {
            self.varint(u64::from(field) << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, field: u32, message: Self) {
        self.bytes(field, &message.0);
    }

    /// A value of any form, as YAML text (JSON is YAML).
    fn any(&mut self, field: u32, value: Option<&Value>) {
        if let Some(value) = value {
            let mut any = Self::default();
            any.bytes(2, value.to_string().as_bytes());
            self.message(field, any);
        }
    }

    /// One entry of a map: name and message.
    fn named(&mut self, field: u32, name: &str, value: Self) {
        let mut entry = Self::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, value);
        self.message(field, entry);
    }

    /// Members whose names begin with `x-`.
    fn extensions(&mut self, field: u32, members: &Map<String, Value>) {
        for (name, value) in members.iter().filter(|(name, _)| name.starts_with("x-")) {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.any(2, Some(value));
            self.message(field, entry);
        }
    }
}

/// The document as bytes.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, document.get("swagger"));
    if let Some(info) = document.get("info") {
        let mut written = Message::default();
        written.text(1, info.get("title"));
        written.text(2, info.get("version"));
        message.message(2, written);
    }
    let mut paths = Message::default();
    for (path, item) in members(document.get("paths")) {
        paths.named(2, path, path_item(item));
    }
    message.message(8, paths);
    let mut definitions = Message::default();
    for (name, definition) in members(document.get("definitions")) {
        definitions.named(1, name, schema(definition));
    }
    message.message(9, definitions);
    message.0
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = item.get(method) {
            message.message(field, operation(found));
        }
    }
    parameters(&mut message, 9, item.get("parameters"));
    message
}

fn operation(operation: &Value) -> Message {
    let mut message = Message::default();
    message.text(5, operation.get("operationId"));
    message.texts(7, operation.get("consumes"));
    parameters(&mut message, 8, operation.get("parameters"));
    let mut responses = Message::default();
    for (code, response) in members(operation.get("responses")) {
        let mut written = Message::default();
        written.text(1, response.get("description"));
        if let Some(of_answer) = response.get("schema") {
            let mut item = Message::default();
            item.message(1, schema(of_answer));
            written.message(2, item);
        }
        let mut value = Message::default();
        value.message(1, written);
        responses.named(1, code, value);
    }
    message.message(9, responses);
    if let Some(members) = operation.as_object() {
        message.extensions(13, members);
    }
    message
}

fn parameters(message: &mut Message, field: u32, list: Option<&Value>) {
    for parameter in list.and_then(Value::as_array).into_iter().flatten() {
        let place = parameter.get("in").and_then(Value::as_str).unwrap_or_default();
        let mut written = Message::default();
        if place == "body" {
            let mut body = Message::default();
            body.text(2, parameter.get("name"));
            body.text(3, parameter.get("in"));
            body.truth(4, parameter.get("required"));
            if let Some(of_body) = parameter.get("schema") {
                body.message(5, schema(of_body));
            }
            written.message(1, body);
        } else {
            let mut plain = Message::default();
            plain.truth(1, parameter.get("required"));
            plain.text(2, parameter.get("in"));
            plain.text(3, parameter.get("description"));
            plain.text(4, parameter.get("name"));
            // Query parameters may be empty (field 5), which moves what follows by one.
            plain.text(if place == "query" { 6 } else { 5 }, parameter.get("type"));
            let mut non_body = Message::default();
            non_body.message(if place == "query" { 3 } else { 4 }, plain);
            written.message(2, non_body);
        }
        let mut item = Message::default();
        item.message(1, written);
        message.message(field, item);
    }
}

fn schema(schema_value: &Value) -> Message {
    let mut message = Message::default();
    let get = |name: &str| schema_value.get(name);
    message.text(1, get("$ref"));
    message.text(2, get("format"));
    message.text(4, get("description"));
    message.any(5, get("default"));
    message.texts(19, get("required"));
    for value in get("enum").and_then(Value::as_array).into_iter().flatten() {
        message.any(20, Some(value));
    }
    if let Some(of_values) = get("additionalProperties") {
        let mut item = Message::default();
        item.message(1, schema(of_values));
        message.message(21, item);
    }
    if let Some(kind) = get("type").and_then(Value::as_str) {
        let mut item = Message::default();
        item.bytes(1, kind.as_bytes());
        message.message(22, item);
    }
    if let Some(of_items) = get("items") {
        let mut item = Message::default();
        item.message(1, schema(of_items));
        message.message(23, item);
    }
    if get("properties").is_some() {
        let mut properties = Message::default();
        for (name, property) in members(get("properties")) {
            properties.named(1, name, schema(property));
        }
        message.message(25, properties);
    }
    if let Some(members) = schema_value.as_object() {
        message.extensions(31, members);
    }
    message
}
