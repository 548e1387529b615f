//! Rules of object metadata; from [`super`]; to field errors; pure.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::kinds::{Kind, Scope};
use crate::{meta, name};

/// All annotations together may have this many bytes.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// Rules of the metadata of a new object.
#[must_use]
pub fn validate_metadata(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let (own_name, prefix, namespace) =
        (meta::name(object), meta::text(object, "generateName"), meta::namespace(object));
    let invalid = |field: &str, value: &str, messages: Vec<String>| {
        let at = path.child(field);
        messages.into_iter().map(move |m| FieldError::invalid_text(&at, value, m)).collect::<Vec<_>>()
    };
    if !prefix.is_empty() {
        errors.extend(invalid("generateName", prefix, kind.strategy.validate_name(prefix, true)));
    }
    if own_name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        errors.extend(invalid("name", own_name, kind.strategy.validate_name(own_name, false)));
    }
    match kind.scope {
        Scope::Namespaced if namespace.is_empty() => errors.push(FieldError::required(&path.child("namespace"), "")),
        Scope::Namespaced => errors.extend(invalid("namespace", namespace, name::dns_label(namespace, false))),
        Scope::Cluster if !namespace.is_empty() => {
            errors.push(FieldError::forbidden(&path.child("namespace"), "not allowed on this type"));
        }
        Scope::Cluster => {}
    }
    if meta::generation(object) < 0 {
        let at = path.child("generation");
        errors.push(FieldError::invalid_number(&at, meta::generation(object), "must be greater than or equal to 0"));
    }
    errors.extend(maps_and_lists(object, &path));
    errors
}

/// Rules of labels, annotations, owners, finalizers and managed fields.
fn maps_and_lists(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = labels(object, &path.child("labels"));
    errors.extend(annotations(object, &path.child("annotations")));
    errors.extend(owners(object, &path.child("ownerReferences")));
    errors.extend(finalizers(&meta::finalizers(object), &path.child("finalizers")));
    errors.extend(crate::ownership::validate(object, &path.child("managedFields")));
    errors
}

fn labels(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in meta::labels(object) {
        errors.extend(name::qualified_name(key).into_iter().map(|m| FieldError::invalid_text(path, key, m)));
        errors.extend(name::label_value(value).into_iter().map(|m| FieldError::invalid_text(path, value, m)));
    }
    errors
}

fn annotations(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in meta::annotations(object) {
        // Historic: keys of annotations may have upper case.
        errors.extend(
            name::qualified_name(&key.to_ascii_lowercase()).into_iter().map(|m| FieldError::invalid_text(path, key, m)),
        );
        bytes += key.len() + value.len();
    }
    if bytes > MAX_ANNOTATION_BYTES {
        errors.push(FieldError::too_long(path, MAX_ANNOTATION_BYTES));
    }
    errors
}

fn owners(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<&str> = None;
    let list = object.get("metadata").and_then(|m| m.get("ownerReferences")).and_then(Value::as_array);
    for owner in list.into_iter().flatten() {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind, own_name, uid) = (text("apiVersion"), text("kind"), text("name"), text("uid"));
        let version = crate::kinds::split_api_version(api_version).map_or("", |(_, v)| v);
        if version.is_empty() {
            errors.push(FieldError::invalid_text(&path.child("apiVersion"), api_version, "version must not be empty"));
        }
        for (field, value) in [("kind", kind), ("name", own_name), ("uid", uid)] {
            if value.is_empty() {
                errors.push(FieldError::invalid_text(&path.child(field), value, "must not be empty"));
            }
        }
        if api_version == "v1" && kind == "Event" {
            errors.push(FieldError::invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            match controller {
                None => controller = Some(own_name),
                Some(first) => errors.push(FieldError::invalid(
                    path,
                    &list.cloned().map_or(Value::Null, Value::Array),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {own_name}"
                    ),
                )),
            }
        }
    }
    errors
}

/// The finalizers that may stand without a domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

fn finalizers(list: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for finalizer in list {
        errors
            .extend(name::qualified_name(finalizer).into_iter().map(|m| FieldError::invalid_text(path, finalizer, m)));
    }
    if list.contains(&"orphan") && list.contains(&"foregroundDeletion") {
        let shown = serde_json::json!(list);
        errors.push(FieldError::invalid(path, &shown, "finalizer orphan and foregroundDeletion cannot be both set"));
    }
    for (index, finalizer) in list.iter().enumerate() {
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(finalizer) {
            let words = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid_text(&path.index(index), finalizer, words));
        }
    }
    errors
}

/// Rules of a change of metadata.
#[must_use]
pub fn validate_metadata_update(new: &Value, old: &Value) -> Vec<FieldError> {
    fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
        match object.get("metadata").and_then(|m| m.get(name)) {
            None | Some(Value::Null) => None,
            Some(value) => Some(value),
        }
    }
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    for name in ["deletionGracePeriodSeconds", "deletionTimestamp"] {
        if let Some(value) = field(new, name)
            && Some(value) != field(old, name)
        {
            errors.push(FieldError::invalid(
                &path.child(name),
                value,
                "field is immutable; may only be changed via deletion",
            ));
        }
    }
    if meta::deletion_timestamp(old).is_some() {
        let before = meta::finalizers(old);
        let added: Vec<String> =
            meta::finalizers(new).iter().filter(|f| !before.contains(f)).map(|f| crate::field::go_quote(f)).collect();
        if !added.is_empty() {
            let words = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), words));
        }
    }
    if meta::generation(new) < meta::generation(old) {
        let at = path.child("generation");
        errors.push(FieldError::invalid_number(&at, meta::generation(new), "must not be decremented"));
    }
    for name in ["name", "namespace", "uid", "creationTimestamp"] {
        let value = field(new, name);
        if value != field(old, name) {
            let shown = value.cloned().unwrap_or_else(|| Value::String(String::new()));
            errors.push(FieldError::invalid(&path.child(name), &shown, "field is immutable"));
        }
    }
    errors.extend(maps_and_lists(new, &path));
    errors
}
