//! Turns request bodies into objects; from the wire (JSON, YAML, protobuf); to patches, ownership and [`crate::object`]; pure.
//!
//! body → `type_meta` (which kind is it?) → `reader` (typed, one pass: unknown and duplicate fields, wrong types) → canonical form → defaults.

use serde_json::Value;

use crate::kinds::{self, Kind};
use crate::protobuf;
use crate::schema::{ObjectType, canonical};

mod expected;
pub(crate) mod go_json;
mod reader;
mod type_meta;
mod yaml;

pub(crate) use type_meta::{Gvk, not_registered};
pub use yaml::to_value as yaml_to_value;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl MediaType {
    /// Reads a `Content-Type`, parameters ignored; empty means JSON. None: 415.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// What unknown and duplicate fields lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// Warnings.
    Warn,
    /// An error.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; absent means [`Warn`](Self::Warn).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            "Strict" => Some(Self::Strict),
            _ => None,
        }
    }
}

/// An object as the rest of the server knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// In canonical form, with `apiVersion` and `kind`.
    pub object: Value,
    /// What to tell the client in `Warning` headers.
    pub warnings: Vec<String>,
}

/// The body cannot be taken; `Display` is the message of a 400 `Status`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Decodes a body into an object of `kind`, with defaults. A body that names no kind is taken for that kind.
///
/// # Errors
/// When the body is malformed, of another kind, has fields of wrong types or, with [`FieldValidation::Strict`], unknown or duplicate fields.
pub fn decode(body: &[u8], media: MediaType, kind: &Kind, validation: FieldValidation) -> Result<Decoded, DecodeError> {
    let target = Target { group: &kind.group, version: &kind.version, kind: &kind.kind };
    let mut decoded = decode_to(body, media, kind.schema.get(), &target, validation)?;
    kind.strategy.defaults(&mut decoded.object);
    Ok(decoded)
}

/// Decodes a body that is not the resource's own kind: `Scale`, `Eviction`, `DeleteOptions` … without defaults.
///
/// # Errors
/// As [`decode`].
pub fn decode_as(
    body: &[u8],
    media: MediaType,
    schema: &ObjectType,
    group: &str,
    version: &str,
    kind: &str,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    decode_to(body, media, schema, &Target { group, version, kind }, validation)
}

/// The kind that a body must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

impl Target<'_> {
    /// Options of requests are registered in every group; evictions are still taken in the version that clients used first.
    fn accepts(&self, group: &str, version: &str, kind: &str) -> bool {
        let same = (group, version) == (self.group, self.version);
        let old_eviction = kind == "Eviction" && (group, version) == ("policy", "v1beta1");
        kind == self.kind && (same || old_eviction || self.group == "meta.k8s.io")
    }

    fn cannot_be_handled(&self, kind: &str, version: &str, why: &str) -> DecodeError {
        DecodeError(format!("{kind} in version \"{version}\" cannot be handled as a {}: {why}", self.kind))
    }

    fn unrecognized(&self, why: &str, body: &[u8]) -> DecodeError {
        DecodeError(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            self.kind,
            summary(body)
        ))
    }
}

fn decode_to(
    body: &[u8],
    media: MediaType,
    schema: &ObjectType,
    target: &Target<'_>,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let (read, gvk) = match media {
        MediaType::Json => {
            if let Some(why) = go_json::syntax_error(body) {
                let why = format!("couldn't get version/kind; json parse error: {why}");
                return Err(target.unrecognized(&why, body));
            }
            let gvk = type_meta::of_json(body).map_err(|why| target.unrecognized(&why, body))?;
            let gvk = type_meta::check(gvk, target, body)?;
            let mut source = serde_json::Deserializer::from_slice(body);
            let read = reader::read(schema, reader::Words::Json, &mut source);
            (read.map_err(|e| target.cannot_be_handled(&gvk.kind, &gvk.version, &e))?, gvk)
        }
        MediaType::Yaml => {
            let (value, duplicates) = yaml::parse(body, validation).map_err(|why| target.unrecognized(&why, body))?;
            let gvk = type_meta::of_value(&value).map_err(|why| target.unrecognized(&why, body))?;
            let gvk = type_meta::check(gvk, target, body)?;
            let mut read = reader::read(schema, reader::Words::Json, value)
                .map_err(|e| target.cannot_be_handled(&gvk.kind, &gvk.version, &e))?;
            read.strict.splice(0..0, duplicates);
            (read, gvk)
        }
        MediaType::Protobuf => {
            let (gvk, raw) = protobuf::unwrap(body).map_err(|e| target.unrecognized(&e.to_string(), body))?;
            let gvk = type_meta::check(gvk, target, body)?;
            let object = protobuf::decode(raw, schema)
                .map_err(|e| target.cannot_be_handled(&gvk.kind, &gvk.version, &e.to_string()))?;
            (reader::Read { value: object, strict: Vec::new() }, gvk)
        }
    };
    let mut decoded =
        finish(read, schema, validation).map_err(|why| target.cannot_be_handled(&gvk.kind, &gvk.version, &why))?;
    let object = crate::meta::as_map_mut(&mut decoded.object);
    object.insert("apiVersion".to_owned(), Value::String(kinds::api_version(&gvk.group, &gvk.version)));
    object.insert("kind".to_owned(), Value::String(gvk.kind));
    Ok(decoded)
}

/// Types a value that was made from an object by a patch: wrong types and unknown fields are found, the rest is made canonical.
///
/// # Errors
/// The bare reason, for instance `strict decoding error: unknown field "spec.foo"`; the caller puts it into its context.
pub fn retype(value: Value, schema: &ObjectType, validation: FieldValidation) -> Result<Decoded, String> {
    finish(reader::read(schema, reader::Words::Json, value)?, schema, validation)
}

/// [`retype`] in the words upstream has for what a strategic merge made.
///
/// # Errors
/// As [`retype`].
pub fn retype_tree(value: Value, schema: &ObjectType, validation: FieldValidation) -> Result<Decoded, String> {
    finish(reader::read(schema, reader::Words::Tree, value)?, schema, validation)
}

/// Parses any JSON and names its duplicate fields; the error is Go's words.
pub(crate) fn json_with_duplicates(body: &[u8]) -> Result<(Value, Vec<String>), String> {
    if let Some(why) = go_json::syntax_error(body) {
        return Err(why);
    }
    reader::read_any(&mut serde_json::Deserializer::from_slice(body))
}

fn finish(read: reader::Read, schema: &ObjectType, validation: FieldValidation) -> Result<Decoded, String> {
    let reader::Read { mut value, strict } = read;
    let warnings = match validation {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => strict,
        FieldValidation::Strict if strict.is_empty() => strict,
        FieldValidation::Strict => return Err(format!("strict decoding error: {}", strict.join(", "))),
    };
    canonical::canonicalize(schema, &mut value);
    Ok(Decoded { object: value, warnings })
}

/// The beginning of a body for a message: text of JSON objects, hex of anything else.
fn summary(body: &[u8]) -> String {
    const MAX_CHARS: usize = 30;
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    let text = if body.starts_with(b"{") {
        String::from_utf8_lossy(body).into_owned()
    } else {
        body.iter().take(MAX_CHARS).map(|b| format!("{b:02x}")).collect()
    };
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{} ...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
