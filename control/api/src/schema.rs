//! What fields types have: from the generated table (or a custom resource's schema); to decoding, patches and ownership; pure.
//!
//! A type is parsed when it is first asked for; descriptions stay compressed until someone wants them.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::Value;

pub mod canonical;
pub mod default;
mod describe;
mod table;

pub use describe::{Descriptions, descriptions};

/// What a value is.
#[derive(Clone, Debug)]
pub enum Type {
    /// A text.
    String,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A floating-point number.
    Double,
    /// A truth value.
    Bool,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A quantity such as `100m` or `2Gi`.
    Quantity,
    /// An integer of 32 bits or a text.
    IntOrString,
    /// A moment in RFC 3339 with seconds.
    Time,
    /// A moment in RFC 3339 with microseconds.
    MicroTime,
    /// Any JSON, kept as it is.
    Raw,
    /// An object with named fields.
    Object(ObjectRef),
    /// An object with keys of the client's choice.
    Map(Box<Self>),
    /// A list.
    List(Box<Self>),
    /// A list that protobuf wraps into a message with one repeated field.
    WrappedList(Box<Self>),
    /// A schema or a truth value (custom resource definitions).
    SchemaOrBool,
    /// A schema or a list of schemas.
    SchemaOrArray,
    /// A schema or a list of texts.
    SchemaOrStrings,
}

/// What Go writes for a field that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Nothing, also for `""`, `0`, `false`, `[]` and `{}` of a map.
    Omit,
    /// Nothing when absent; a zero that was given stays (a pointer in Go).
    Keep,
    /// The zero of the type: `""`, `0`, `false`, an object's own zeros; null for moments, lists and maps.
    Zero,
    /// null.
    Null,
}

/// How server-side apply and list types see a field's inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Owned and replaced as one.
    Atomic,
    /// Each field, key or item on its own (objects and maps).
    Granular,
    /// A list of distinct scalars.
    Set,
    /// A list of objects told apart by these fields.
    Map(Vec<String>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists merge by [`key`](Self::key), or as a set of scalars when there is none; otherwise they are replaced.
    pub merge: bool,
    /// A patch may name the fields that stay (`$retainKeys`).
    pub retain_keys: bool,
    /// Objects are replaced rather than merged.
    pub replace: bool,
    /// The field that tells items apart.
    pub key: Option<String>,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub ty: Type,
    /// Protobuf field numbers from the outer message inward: more than one where Go embeds a struct. Empty: not on the wire.
    pub tags: Box<[u32]>,
    /// Whether OpenAPI calls it required.
    pub required: bool,
    /// What an empty one becomes.
    pub empty: Empty,
    /// How its inside is owned.
    pub topology: Topology,
    /// How strategic merge patches treat it.
    pub patch: PatchStrategy,
    /// The default that OpenAPI names, if any.
    pub default: Option<Value>,
}

/// The fields of an object.
#[derive(Debug)]
pub struct ObjectType {
    /// OpenAPI name, for instance `io.k8s.api.core.v1.Pod`.
    pub name: Cow<'static, str>,
    /// The whole object is owned as one wherever it stands (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Fields that are not declared are kept.
    pub preserve_unknown: bool,
    /// By name, ascending.
    fields: Box<[Field]>,
}

impl Type {
    /// Whether values hold no declared fields.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Object(_) | Self::SchemaOrBool | Self::SchemaOrArray | Self::SchemaOrStrings => false,
            Self::Map(inner) | Self::List(inner) | Self::WrappedList(inner) => inner.is_scalar(),
            Self::String
            | Self::Int32
            | Self::Int64
            | Self::Double
            | Self::Bool
            | Self::Bytes
            | Self::Quantity
            | Self::IntOrString
            | Self::Time
            | Self::MicroTime
            | Self::Raw => true,
        }
    }
}

impl ObjectType {
    /// A type made at run time.
    #[must_use]
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        atomic: bool,
        preserve_unknown: bool,
        mut fields: Vec<Field>,
    ) -> Self {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self { name: name.into(), atomic, preserve_unknown, fields: fields.into_boxed_slice() }
    }

    /// The field of this JSON name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|f| f.name.as_ref().cmp(name)).ok()?;
        self.fields.get(at)
    }

    /// All fields, by name.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The last part of the name, as Go calls the struct.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

/// A type, built in or made at run time.
#[derive(Clone, Debug)]
pub struct ObjectRef(Which);

#[derive(Clone, Debug)]
enum Which {
    Builtin(usize),
    Made(Arc<ObjectType>),
}

impl ObjectRef {
    /// Wraps a type made at run time.
    #[must_use]
    pub fn made(object: Arc<ObjectType>) -> Self {
        Self(Which::Made(object))
    }

    /// Whether the type comes from the built-in table.
    #[must_use]
    pub fn is_builtin(&self) -> bool {
        matches!(self.0, Which::Builtin(_))
    }

    /// The type itself.
    #[must_use]
    pub fn get(&self) -> &ObjectType {
        match &self.0 {
            Which::Builtin(index) => TABLE.get(*index).map_or(&*EMPTY, Entry::get),
            Which::Made(object) => object,
        }
    }
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// The lines of the type in the table, the heading included.
    text: &'static str,
    parsed: OnceLock<ObjectType>,
}

impl Entry {
    fn get(&self) -> &ObjectType {
        self.parsed.get_or_init(|| table::parse(self.text))
    }
}

static TABLE: LazyLock<Box<[Entry]>> = LazyLock::new(|| {
    table::split(include_str!("generated/types.tsv"))
        .map(|(name, text)| Entry { name, text, parsed: OnceLock::new() })
        .collect()
});

/// Stands for a type that the table does not have; nothing of it is pruned.
static EMPTY: LazyLock<ObjectType> = LazyLock::new(|| ObjectType::new("", false, true, Vec::new()));

/// The built-in type of this OpenAPI name.
#[must_use]
pub fn builtin(name: &str) -> Option<ObjectRef> {
    let at = TABLE.binary_search_by(|e| e.name.cmp(name)).ok()?;
    Some(ObjectRef(Which::Builtin(at)))
}

/// Names of all built-in types, ascending.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|e| e.name)
}

/// The OpenAPI name of a built-in kind's type.
#[must_use]
pub fn type_name(group: &str, version: &str, kind: &str) -> String {
    match group {
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        "meta.k8s.io" => format!("io.k8s.apimachinery.pkg.apis.meta.{version}.{kind}"),
        "apiextensions.k8s.io" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}"),
        "apiregistration.k8s.io" => format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{version}.{kind}"),
        _ => format!("io.k8s.api.{}.{version}.{kind}", group.split('.').next().unwrap_or_default()),
    }
}

/// The type of a built-in kind. A kind unknown to the table gets a type that keeps every field.
#[must_use]
pub fn of_kind(group: &str, version: &str, kind: &str) -> ObjectRef {
    builtin(&type_name(group, version, kind)).unwrap_or(ObjectRef(Which::Builtin(usize::MAX)))
}

/// A type of `meta/v1`: `ObjectMeta`, `DeleteOptions`, `Status`, `PartialObjectMetadata` …
#[must_use]
pub fn meta(kind: &str) -> ObjectRef {
    of_kind("meta.k8s.io", "v1", kind)
}

static JSON_SCHEMA_PROPS: LazyLock<Type> =
    LazyLock::new(|| Type::Object(of_kind("apiextensions.k8s.io", "v1", "JSONSchemaProps")));

/// The type of a JSON schema inside custom resource definitions.
pub(crate) fn json_schema_props_type() -> &'static Type {
    &JSON_SCHEMA_PROPS
}

/// The fields of a JSON schema inside custom resource definitions.
pub(crate) fn json_schema_props() -> &'static ObjectType {
    if let Type::Object(object) = &*JSON_SCHEMA_PROPS { object.get() } else { &EMPTY }
}

#[cfg(test)]
mod tests;
