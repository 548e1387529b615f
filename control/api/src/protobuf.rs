//! Kubernetes protobuf, driven by the schema table; between the wire and objects, both ways; pure.
//!
//! A body is `k8s\0` and a `runtime.Unknown`: the kind in `typeMeta`, the object's own message in `raw`.

use serde_json::{Map, Value};

use crate::decode::Gvk;
use crate::schema::ObjectType;

mod read;
mod wire;
mod write;

/// The first bytes of every body.
pub const MAGIC: &[u8] = b"k8s\0";

/// Messages may nest this deep.
const MAX_DEPTH: usize = 100;

/// The bytes are not what the schema says, or not Kubernetes protobuf at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The four magic bytes are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// The bytes end inside a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A number on the wire is longer than ten bytes or a tag is malformed.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field is on the wire in another form than its type has.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WireType {
        /// The form found.
        wire: u8,
        /// JSON name of the field.
        field: String,
    },
    /// A text is not UTF-8.
    #[error("proto: field {field} contains invalid UTF-8")]
    Utf8 {
        /// JSON name of the field.
        field: String,
    },
    /// A value inside has no meaning: a quantity, a moment, embedded JSON.
    #[error("{0}")]
    Value(String),
    /// Messages nest too deep.
    #[error("proto: message nested too deep")]
    TooDeep,
    /// `apiVersion` is malformed.
    #[error("{0}")]
    ApiVersion(String),
}

/// Takes the envelope off: the kind that the body names and the object's message.
///
/// # Errors
/// When the magic bytes are missing or the envelope is malformed.
pub(crate) fn unwrap(body: &[u8]) -> Result<(Gvk, &[u8]), ProtobufError> {
    let mut fields = wire::Fields::new(body.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?);
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &b""[..]);
    while let Some((tag, value)) = fields.next_field()? {
        match (tag, value) {
            (1, wire::Wire::Bytes(meta)) => {
                let mut fields = wire::Fields::new(meta);
                while let Some((tag, value)) = fields.next_field()? {
                    match (tag, value) {
                        (1, wire::Wire::Bytes(text)) => api_version = wire::utf8(text, "apiVersion")?.to_owned(),
                        (2, wire::Wire::Bytes(text)) => kind = wire::utf8(text, "kind")?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, wire::Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    Ok((Gvk::new(&api_version, &kind).map_err(ProtobufError::ApiVersion)?, raw))
}

/// Reads one message into an object without `apiVersion` and `kind`; not yet canonical.
///
/// # Errors
/// When the bytes do not fit the schema. Fields that the schema does not know are skipped.
pub fn decode(raw: &[u8], schema: &ObjectType) -> Result<Value, ProtobufError> {
    let mut map = Map::new();
    read::message(schema, &[], raw, &mut map, 0)?;
    Ok(Value::Object(map))
}

/// Writes an object as one message, without envelope. What the schema does not know is left out.
#[must_use]
pub fn encode(object: &Value, schema: &ObjectType) -> Vec<u8> {
    let mut out = Vec::new();
    if let Value::Object(map) = object {
        write::message(schema, &[], map, &mut out);
    }
    out
}

/// Writes an object with magic bytes and envelope, its kind taken from `apiVersion` and `kind`.
#[must_use]
pub fn encode_body(object: &Value, schema: &ObjectType) -> Vec<u8> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    wrap(text("apiVersion"), text("kind"), &encode(object, schema))
}

fn type_meta(api_version: &str, kind: &str) -> Vec<u8> {
    let mut meta = Vec::new();
    write::bytes(1, api_version.as_bytes(), &mut meta);
    write::bytes(2, kind.as_bytes(), &mut meta);
    meta
}

/// Puts magic bytes and envelope around a message.
#[must_use]
pub fn wrap(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = type_meta(api_version, kind);
    let mut out = Vec::with_capacity(raw.len() + meta.len() + 24);
    out.extend_from_slice(MAGIC);
    write::bytes(1, &meta, &mut out);
    write::bytes(2, raw, &mut out);
    write::bytes(3, b"", &mut out);
    write::bytes(4, b"", &mut out);
    out
}

/// A list put together from bodies of its items (as [`encode_body`] makes them), without copying these: the pieces of its body in order.
///
/// `metadata` is the list's own.
pub fn list_pieces<B: AsRef<[u8]>>(
    api_version: &str,
    kind: &str,
    metadata: &Value,
    items: Vec<B>,
) -> impl Iterator<Item = ListPiece<B>> + use<B> {
    let mut head = Vec::new();
    write::bytes(1, &encode(metadata, crate::schema::meta("ListMeta").get()), &mut head);
    // Every list has its metadata in field 1 and its items in field 2.
    let tag_of = |raw: &[u8]| {
        let mut tag = Vec::with_capacity(8);
        write::length_field(2, raw.len(), &mut tag);
        tag
    };
    let items: Vec<(B, std::ops::Range<usize>)> = items
        .into_iter()
        .map(|item| {
            let range = raw_range(item.as_ref());
            (item, range)
        })
        .collect();
    let sizes = items.iter().map(|(item, range)| {
        let raw = item.as_ref().get(range.clone()).unwrap_or_default();
        tag_of(raw).len() + raw.len()
    });
    let total = head.len() + sizes.sum::<usize>();
    let mut start = Vec::with_capacity(head.len() + 64);
    start.extend_from_slice(MAGIC);
    write::bytes(1, &type_meta(api_version, kind), &mut start);
    write::length_field(2, total, &mut start);
    start.extend_from_slice(&head);
    let mut end = Vec::new();
    write::bytes(3, b"", &mut end);
    write::bytes(4, b"", &mut end);
    let items = items.into_iter().flat_map(move |(item, range)| {
        let tag = tag_of(item.as_ref().get(range.clone()).unwrap_or_default());
        [ListPiece::Own(tag), ListPiece::Item(item, range)]
    });
    std::iter::once(ListPiece::Own(start)).chain(items).chain(std::iter::once(ListPiece::Own(end)))
}

/// A piece of a list's body.
#[derive(Debug)]
pub enum ListPiece<B> {
    /// What stands between the items.
    Own(Vec<u8>),
    /// This part of an item.
    Item(B, std::ops::Range<usize>),
}

impl<B: AsRef<[u8]>> ListPiece<B> {
    /// The piece's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Item(item, range) => item.as_ref().get(range.clone()).unwrap_or_default(),
        }
    }
}

/// Where the object's message lies in a body.
fn raw_range(body: &[u8]) -> std::ops::Range<usize> {
    let Ok((_, raw)) = unwrap(body) else { return 0..0 };
    let start = raw.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + raw.len()
}

/// One frame of a watch: four bytes of length (most significant first), then a `WatchEvent` without magic bytes around `object`, which
/// is a body as [`encode_body`] makes it.
#[must_use]
pub fn watch_frame(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut extension = Vec::new();
    write::bytes(1, object, &mut extension);
    let mut event = Vec::new();
    write::bytes(1, event_type.as_bytes(), &mut event);
    write::bytes(2, &extension, &mut event);
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(&event);
    out
}

#[cfg(test)]
mod tests;
