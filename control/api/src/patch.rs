//! Patches: JSON patch, merge patch, strategic merge patch; from request bodies and a current object; to a typed object; pure.
//!
//! Server-side apply is in [`crate::ownership`].

use serde_json::Value;

use crate::decode::{self, Decoded, FieldValidation};
use crate::field::{self, FieldError, Invalid, Path};
use crate::kinds::{self, Kind};

mod json;
mod list_order;
mod merge;
pub mod strategic;

/// The form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
    /// `application/apply-patch+yaml`: see [`crate::ownership::apply`].
    Apply,
}

impl PatchType {
    /// Reads a `Content-Type`, parameters ignored. None: 415.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// The patch cannot be applied; `Display` is the message of the `Status`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// 400: the patch itself is malformed.
    #[error("{0}")]
    BadRequest(String),
    /// 413: the patch is too large.
    #[error("{0}")]
    TooLarge(String),
    /// 422 without causes and with empty `details`: an operation does not fit the object. The field is the reason, for logs.
    #[error("the server rejected our request due to an error in our request")]
    Rejected(String),
    /// 422: the result is no valid object of the kind.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// 415: the kind does not take this form of patch.
    #[error(
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )]
    UnsupportedMediaType,
    /// 500 without reason: upstream reports patches that contradict the schema so.
    #[error("{0}")]
    Internal(String),
}

/// Applies a patch to `current` and gives the result as [`decode::decode`] would: typed, canonical, with defaults.
///
/// # Errors
/// See [`PatchError`]. `PatchType::Apply` is not a patch in this sense and gives [`PatchError::UnsupportedMediaType`].
pub fn apply(
    patch_type: PatchType,
    patch: &[u8],
    current: &Value,
    kind: &Kind,
    validation: FieldValidation,
) -> Result<Decoded, PatchError> {
    let mut strict = Vec::new();
    let (patched, shown) = match patch_type {
        PatchType::Json => {
            let patched = json::apply(patch, current, &mut strict)?;
            let shown = patched.to_string();
            (patched, shown)
        }
        PatchType::Merge => {
            let patched = merge::apply(patch, current, &mut strict)?;
            let shown = patched.to_string();
            (patched, shown)
        }
        PatchType::Strategic if kind.schema.is_builtin() => {
            let patch = parse(patch, &mut strict).map_err(PatchError::BadRequest)?;
            let shown = field::go_format(&patch);
            (strategic::apply(current, patch, kind.schema.get())?, shown)
        }
        PatchType::Strategic | PatchType::Apply => return Err(PatchError::UnsupportedMediaType),
    };
    let invalid = |why: String| {
        let error = FieldError::invalid_text(&Path::new("patch"), &shown, why);
        Invalid { group: String::new(), kind: String::new(), name: String::new(), errors: vec![error] }
    };
    if crate::meta::name(&patched).is_empty() && !crate::meta::name(current).is_empty() {
        let name = crate::meta::name(current);
        let words = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
        return Err(PatchError::BadRequest(words));
    }
    if let Some(why) = changed_kind(&patched, current) {
        return Err(invalid(why).into());
    }
    let retype = if patch_type == PatchType::Strategic { decode::retype_tree } else { decode::retype };
    let mut decoded = retype(patched, kind.schema.get(), FieldValidation::Warn).map_err(invalid)?;
    strict.append(&mut decoded.warnings);
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => decoded.warnings = strict,
        FieldValidation::Strict if strict.is_empty() => {}
        FieldValidation::Strict => return Err(invalid(format!("strict decoding error: {}", strict.join(", "))).into()),
    }
    for field in ["apiVersion", "kind"] {
        let value = current.get(field).cloned();
        crate::meta::as_map_mut(&mut decoded.object).extend(value.map(|v| (field.to_owned(), v)));
    }
    kind.strategy.defaults(&mut decoded.object);
    Ok(decoded)
}

/// The words for a patch that makes the object one of another kind; leaving the fields out is taken as no change.
fn changed_kind(patched: &Value, current: &Value) -> Option<String> {
    let text = |object: &Value, field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let pick =
        |field: &str| Some(text(patched, field)).filter(|t| !t.is_empty()).unwrap_or_else(|| text(current, field));
    let (api_version, kind) = (pick("apiVersion"), pick("kind"));
    if api_version == text(current, "apiVersion") && kind == text(current, "kind") {
        return None;
    }
    let gvk = match decode::Gvk::new(&api_version, &kind) {
        Ok(gvk) => gvk,
        Err(why) => return Some(why),
    };
    Some(match kinds::builtin().by_kind(&gvk.group, &gvk.version, &gvk.kind) {
        None => decode::not_registered(&gvk),
        Some(_) => {
            format!("converting ({}.{}) to ({}): unknown conversion", gvk.version, gvk.kind, text(current, "kind"))
        }
    })
}

/// Parses a patch that must be an object; its duplicate fields go to `strict`. The error is Go's words.
fn parse(patch: &[u8], strict: &mut Vec<String>) -> Result<Value, String> {
    let (value, duplicates) = decode::json_with_duplicates(patch)?;
    strict.extend(duplicates);
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        Value::Array(_) => Err("json: cannot unmarshal array into Go value of type map[string]interface {}".to_owned()),
        Value::String(_) => {
            Err("json: cannot unmarshal string into Go value of type map[string]interface {}".to_owned())
        }
        Value::Bool(_) => Err("json: cannot unmarshal bool into Go value of type map[string]interface {}".to_owned()),
        Value::Number(_) => {
            Err("json: cannot unmarshal number into Go value of type map[string]interface {}".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
