//! An object as the server keeps it: the bytes clients get, and what selection needs. From storage; to lists, watches and writes. Pure.
//!
//! The bytes are JSON that starts with `{"kind":…,"apiVersion":…,` followed by metadata whose first field is the resource version: a
//! list leaves out the first part, and another resource version is spliced in, without parsing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use skep_api::encode;
use skep_api::kinds::Kind;
use skep_storage::watch_cache::{Decode, DecodeError};

use crate::label_marks::LabelMarks;

mod fields;

/// One object at one resource version. Never changes; shared by every reader.
#[derive(Debug)]
pub struct Object {
    bytes: Bytes,
    /// Length of `{"kind":…,"apiVersion":…,`.
    head: usize,
    /// Where the metadata ends, which follow the head.
    metadata_end: usize,
    /// Where the digits of the resource version stand.
    version_at: std::ops::Range<usize>,
    /// The revision that wrote it.
    pub revision: u64,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub namespace: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// See [`LabelMarks`].
    pub marks: LabelMarks,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the kind's selectable fields, in the order of `Strategy::field_labels`.
    fields: Box<[Box<str>]>,
    value: OnceLock<Arc<Value>>,
    protobuf: OnceLock<Bytes>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Object {
    /// The object as JSON, with kind, apiVersion and resource version.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.bytes
    }

    /// What follows the opening brace in lists of built-in kinds: the object without kind and apiVersion.
    #[must_use]
    pub fn json_without_head(&self) -> Bytes {
        self.bytes.slice(self.head..)
    }

    /// The member `"metadata":{…}` alone.
    #[must_use]
    pub fn json_metadata(&self) -> Bytes {
        self.bytes.slice(self.head..self.metadata_end)
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        self.labels.get(at).map(|(_, value)| &**value)
    }

    /// The value of the selectable field with this position in `Strategy::field_labels`.
    #[must_use]
    pub fn field(&self, position: usize) -> &str {
        self.fields.get(position).map_or("", |f| f)
    }

    /// A copy for changing.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self.value.get() {
            Some(value) => Value::clone(value),
            None => self.parse(),
        }
    }

    /// The parsed object, kept for the next caller: for kinds that are read by rules again and again.
    #[must_use]
    pub fn shared_value(&self) -> Arc<Value> {
        Arc::clone(self.value.get_or_init(|| Arc::new(self.parse())))
    }

    fn parse(&self) -> Value {
        // The bytes were made from parsed pieces; null is what no reader can mistake for an object.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The object as protobuf, made on first demand.
    #[must_use]
    pub fn protobuf(&self, kind: &Kind) -> Bytes {
        self.protobuf.get_or_init(|| encode::to_protobuf(&self.parse(), kind.schema.get()).into()).clone()
    }

    /// Builds from what storage holds.
    ///
    /// # Errors
    /// When the value is not JSON of an object with metadata.
    pub fn from_stored(value: &[u8], revision: u64, kind: &Kind) -> Result<Self, serde_json::Error> {
        let envelope: Envelope<'_> = serde_json::from_slice(value)?;
        let metadata: Metadata<'_> = serde_json::from_str(envelope.metadata.get())?;
        let labels = kind.strategy.field_labels();
        let fields = if labels.is_empty() {
            Box::default()
        } else {
            let parsed = fields::selectable(&envelope.rest, labels)?;
            labels.iter().map(|label| kind.strategy.selectable_field(&parsed, label).into_boxed_str()).collect()
        };
        let version = revision.to_string();
        let mut bytes = Vec::with_capacity(value.len() + 40);
        bytes.extend_from_slice(b"{\"kind\":");
        bytes.extend_from_slice(envelope.kind.get().as_bytes());
        bytes.extend_from_slice(b",\"apiVersion\":");
        bytes.extend_from_slice(envelope.api_version.get().as_bytes());
        bytes.push(b',');
        let head = bytes.len();
        bytes.extend_from_slice(b"\"metadata\":{\"resourceVersion\":\"");
        let version_at = bytes.len()..bytes.len() + version.len();
        bytes.extend_from_slice(version.as_bytes());
        bytes.push(b'"');
        let members = envelope.metadata.get().trim_start_matches('{').trim_start();
        if members.starts_with('}') {
            bytes.push(b'}');
        } else {
            bytes.push(b',');
            bytes.extend_from_slice(members.as_bytes());
        }
        let metadata_end = bytes.len();
        for (name, member) in envelope.rest {
            bytes.push(b',');
            serde_json::to_writer(&mut bytes, &*name)?;
            bytes.push(b':');
            bytes.extend_from_slice(member.get().as_bytes());
        }
        bytes.push(b'}');
        Ok(Self {
            bytes: bytes.into(),
            head,
            metadata_end,
            version_at,
            revision,
            name: metadata.name.into(),
            namespace: metadata.namespace.into(),
            uid: metadata.uid.into(),
            deleting: metadata.deletion_timestamp.is_some(),
            marks: LabelMarks::of(metadata.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
            labels: metadata.labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            fields,
            value: OnceLock::new(),
            protobuf: OnceLock::new(),
        })
    }

    /// The same object with another resource version.
    #[must_use]
    pub fn at_revision(&self, revision: u64) -> Self {
        let version = revision.to_string();
        let mut bytes = Vec::with_capacity(self.bytes.len() + 4);
        bytes.extend_from_slice(self.bytes.get(..self.version_at.start).unwrap_or_default());
        bytes.extend_from_slice(version.as_bytes());
        bytes.extend_from_slice(self.bytes.get(self.version_at.end..).unwrap_or_default());
        Self {
            bytes: bytes.into(),
            head: self.head,
            metadata_end: self.metadata_end + version.len() - self.version_at.len(),
            version_at: self.version_at.start..self.version_at.start + version.len(),
            revision,
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: self.uid.clone(),
            deleting: self.deleting,
            marks: self.marks,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            value: OnceLock::new(),
            protobuf: OnceLock::new(),
        }
    }
}

/// Makes objects of one kind from what storage holds.
#[derive(Debug)]
pub struct Decoder {
    /// The kind in its storage version.
    pub kind: Arc<Kind>,
    /// Position of the field that watchers are indexed by (for pods `spec.nodeName`).
    pub index: Option<usize>,
}

impl Decode<Object> for Decoder {
    fn decode(&self, _key: &Bytes, value: &Bytes, revision: u64) -> Result<Object, DecodeError> {
        Object::from_stored(value, revision, &self.kind).map_err(|e| DecodeError { reason: e.to_string() })
    }

    fn at_revision(&self, object: &Object, revision: u64) -> Object {
        object.at_revision(revision)
    }

    fn index<'a>(&self, object: &'a Object) -> Option<&'a str> {
        self.index.map(|position| object.field(position))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A member's name, borrowed when it holds no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The top level of an object, its members unparsed.
struct Envelope<'a> {
    kind: &'a RawValue,
    api_version: &'a RawValue,
    metadata: &'a RawValue,
    rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with kind, apiVersion and metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let (mut kind, mut api_version, mut metadata, mut rest) = (None, None, None, Vec::new());
                while let Some((Name(name), member)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    match &*name {
                        "kind" => kind = Some(member),
                        "apiVersion" => api_version = Some(member),
                        "metadata" => metadata = Some(member),
                        _ => rest.push((name, member)),
                    }
                }
                let missing = |field| move || serde::de::Error::missing_field(field);
                Ok(Envelope {
                    kind: kind.ok_or_else(missing("kind"))?,
                    api_version: api_version.ok_or_else(missing("apiVersion"))?,
                    metadata: metadata.ok_or_else(missing("metadata"))?,
                    rest,
                })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests;
