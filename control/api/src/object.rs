//! The way of an object from a decoded body to storage: metadata, the split of spec and status, generation, validation.
//!
//! From decoding, patches and ownership; to admission and storage; pure.
//!
//! Create: [`prepare_create`] → admission → [`validate_create`] → [`canonicalize`]. Update: [`prepare_update`] → admission →
//! [`validate_update`] → [`canonicalize`].

use serde_json::Value;

use crate::field::{FieldError, Invalid};
use crate::kinds::{Kind, Scope};
use crate::meta;
use crate::schema::canonical;
use crate::strategy::Part;

mod metadata;

pub use metadata::{validate_metadata, validate_metadata_update};

/// What a new object gets from outside.
#[derive(Clone, Copy, Debug)]
pub struct CreateContext<'a> {
    /// The namespace of the request; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The current time as [`crate::time::seconds`] writes it.
    pub now: &'a str,
    /// A fresh UID.
    pub uid: &'a str,
    /// Five random letters or digits, appended to `generateName`.
    pub name_suffix: &'a str,
}

/// The namespace in the body is not the one of the request; a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the namespace of the provided object does not match the namespace sent on the request")]
pub struct NamespaceMismatch;

/// Sets what clients may not choose and generates the name.
///
/// # Errors
/// When body and request name different namespaces.
pub fn prepare_create(kind: &Kind, object: &mut Value, context: &CreateContext<'_>) -> Result<(), NamespaceMismatch> {
    match kind.scope {
        Scope::Namespaced => {
            let own = meta::namespace(object);
            if !own.is_empty() && own != context.namespace {
                return Err(NamespaceMismatch);
            }
            meta::set_text(object, "namespace", context.namespace);
        }
        Scope::Cluster => {
            if !meta::namespace(object).is_empty() {
                return Err(NamespaceMismatch);
            }
        }
    }
    let generated = generated_name(meta::text(object, "generateName"), context.name_suffix);
    let metadata = meta::metadata_mut(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        metadata.remove(field);
    }
    metadata.insert("creationTimestamp".to_owned(), Value::String(context.now.to_owned()));
    metadata.insert("uid".to_owned(), Value::String(context.uid.to_owned()));
    if metadata.get("name").and_then(Value::as_str).unwrap_or_default().is_empty() && !generated.is_empty() {
        metadata.insert("name".to_owned(), Value::String(generated));
    }
    if kind.strategy.has_generation() {
        metadata.insert("generation".to_owned(), Value::from(1));
    }
    if kind.strategy.has_status() {
        meta::as_map_mut(object).remove("status");
    }
    kind.strategy.prepare_for_create(object);
    canonical::canonicalize(kind.schema.get(), object);
    Ok(())
}

/// A `generateName` with its suffix, cut so that the whole fits a label; empty when there is no prefix.
#[must_use]
pub fn generated_name(prefix: &str, suffix: &str) -> String {
    const MAX_BYTES: usize = 63;
    if prefix.is_empty() {
        return String::new();
    }
    let mut room = MAX_BYTES.saturating_sub(suffix.len()).min(prefix.len());
    while !prefix.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{suffix}", prefix.get(..room).unwrap_or_default())
}

/// Checks a new object, after admission.
///
/// # Errors
/// All broken rules; a 422.
pub fn validate_create(kind: &Kind, object: &Value) -> Result<(), Invalid> {
    let mut errors = validate_metadata(kind, object);
    errors.extend(kind.strategy.validate_create(object));
    outcome(kind, object, errors)
}

/// Keeps what this part of the object may not change, and counts the generation.
pub fn prepare_update(kind: &Kind, part: Part<'_>, new: &mut Value, old: &Value) {
    keep_metadata(new, old);
    match part {
        Part::Whole if kind.strategy.has_status() => {
            let status = old.get("status").cloned();
            let map = meta::as_map_mut(new);
            map.remove("status");
            map.extend(status.map(|s| ("status".to_owned(), s)));
        }
        Part::Status => {
            let mut whole = old.clone();
            let (map, from) = (meta::as_map_mut(&mut whole), meta::as_map_mut(new));
            for field in ["metadata", "status"] {
                map.remove(field);
                map.extend(from.remove_entry(field));
            }
            *new = whole;
        }
        Part::Whole | Part::Other(_) => {}
    }
    kind.strategy.prepare_for_update(part, new, old);
    canonical::canonicalize(kind.schema.get(), new);
    let counts = kind.strategy.has_generation();
    if counts && kind.strategy.generation_fields(part).iter().any(|f| new.get(*f) != old.get(*f)) {
        let next = meta::generation(old) + 1;
        meta::metadata_mut(new).insert("generation".to_owned(), Value::from(next));
    }
}

/// System fields of metadata are those of the old object, whatever the client sent.
fn keep_metadata(new: &mut Value, old: &Value) {
    let metadata = meta::metadata_mut(new);
    metadata.remove("selfLink");
    metadata.remove("generation");
    let old_field = |field: &str| old.get("metadata").and_then(|m| m.get(field)).filter(|v| !v.is_null()).cloned();
    for field in ["creationTimestamp", "generation", "deletionTimestamp"] {
        metadata.extend(old_field(field).map(|v| (field.to_owned(), v)));
    }
    for field in ["uid", "namespace", "name", "deletionGracePeriodSeconds"] {
        if metadata.get(field).is_none_or(|v| v.is_null() || v.as_str() == Some("")) {
            metadata.extend(old_field(field).map(|v| (field.to_owned(), v)));
        }
    }
}

/// Checks a change, after admission. Resource versions are the caller's matter.
///
/// # Errors
/// All broken rules; a 422.
pub fn validate_update(kind: &Kind, part: Part<'_>, new: &Value, old: &Value) -> Result<(), Invalid> {
    let mut errors = validate_metadata_update(new, old);
    // Upstream looks at metadata twice on updates: before the kind's rules and as part of them.
    errors.extend_from_within(..);
    errors.extend(kind.strategy.validate_update(part, new, old));
    outcome(kind, new, errors)
}

fn outcome(kind: &Kind, object: &Value, errors: Vec<FieldError>) -> Result<(), Invalid> {
    if errors.is_empty() {
        return Ok(());
    }
    // Errors name the group whose rules they are: both kinds of events have those of core.
    let group = kind.storage_api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    Err(Invalid { group, kind: kind.kind.clone(), name: meta::name(object).to_owned(), errors })
}

/// Defaults and canonical form once more, just before storing: admission and controllers may have left gaps.
pub fn canonicalize(kind: &Kind, object: &mut Value) {
    kind.strategy.defaults(object);
    canonical::canonicalize(kind.schema.get(), object);
}

#[cfg(test)]
mod tests;
