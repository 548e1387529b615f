//! Which kind a body says it is, and whether that is the kind wanted; from decoding; to it; pure.

use serde::Deserialize;
use serde_json::Value;

use super::{DecodeError, Target};
use crate::kinds;

/// Group, version and kind named in a body; all empty when it names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    /// Splits an `apiVersion`.
    pub(crate) fn new(api_version: &str, kind: &str) -> Result<Self, String> {
        let (group, version) = kinds::split_api_version(api_version)
            .ok_or_else(|| format!("unexpected GroupVersion string: {api_version}"))?;
        Ok(Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() })
    }
}

const GO_STRUCT: &str =
    "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";

#[derive(Deserialize)]
struct TypeMeta {
    #[serde(default, rename = "apiVersion")]
    api_version: Value,
    #[serde(default)]
    kind: Value,
}

/// Reads the two fields of JSON that is known to be well-formed.
pub(super) fn of_json(body: &[u8]) -> Result<Gvk, String> {
    // A body may name a field twice; then the typed reader reports it, and the last one counts here.
    match serde_json::from_slice::<TypeMeta>(body) {
        Ok(meta) if body.trim_ascii_start().starts_with(b"{") => fields(&meta.api_version, &meta.kind),
        Ok(_) | Err(_) => {
            let value: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
            of_value(&value)
        }
    }
}

/// Reads the two fields of a value.
pub(super) fn of_value(value: &Value) -> Result<Gvk, String> {
    let null = Value::Null;
    match value {
        Value::Object(map) => fields(map.get("apiVersion").unwrap_or(&null), map.get("kind").unwrap_or(&null)),
        Value::Null => Ok(Gvk::default()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type {GO_STRUCT}",
            go_name(value)
        )),
    }
}

fn fields(api_version: &Value, kind: &Value) -> Result<Gvk, String> {
    let text = |value: &Value, field: &str| match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{field} of type string",
            go_name(value)
        )),
    };
    Gvk::new(&text(api_version, "apiVersion")?, &text(kind, "kind")?)
}

fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Fills in what the body leaves out and refuses other kinds than the one wanted.
pub(super) fn check(gvk: Gvk, target: &Target<'_>, body: &[u8]) -> Result<Gvk, DecodeError> {
    let mut gvk = gvk;
    if gvk.kind.is_empty() {
        target.kind.clone_into(&mut gvk.kind);
    }
    if gvk.version.is_empty() {
        target.version.clone_into(&mut gvk.version);
        if gvk.group.is_empty() {
            target.group.clone_into(&mut gvk.group);
        }
    }
    if target.accepts(&gvk.group, &gvk.version, &gvk.kind) {
        return Ok(gvk);
    }
    let known = kinds::builtin().by_kind(&gvk.group, &gvk.version, &gvk.kind).is_some();
    let why = if known {
        // Go's package names: the version outside, the group (core for the empty one) inside.
        let internal =
            if target.group.is_empty() { "core" } else { target.group.split('.').next().unwrap_or_default() };
        format!("converting ({}.{}) to ({internal}.{}): unknown conversion", gvk.version, gvk.kind, target.kind)
    } else {
        not_registered(&gvk)
    };
    if gvk.kind.is_empty() {
        Err(target.unrecognized(&why, body))
    } else {
        Err(target.cannot_be_handled(&gvk.kind, &gvk.version, &why))
    }
}

/// The words for a kind that nobody serves.
pub(crate) fn not_registered(gvk: &Gvk) -> String {
    let api_version = kinds::api_version(&gvk.group, &gvk.version);
    format!(
        "no kind \"{}\" is registered for version \"{api_version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        gvk.kind
    )
}
