//! Strategic merge patch, with all directives; from [`super`]; to it; pure.
//!
//! `$patch: replace|delete`, `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`. Lists merge when their field
//! says so, by its merge key; everything else is a merge patch.

use serde_json::{Map, Value};

use super::PatchError;
use super::list_order::{arrange, identity};
use crate::field::go_format;
use crate::schema::{Field, ObjectType, PatchStrategy, Type};

type Object = Map<String, Value>;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";

/// What the schema says of the value being merged.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Object(&'a ObjectType),
    /// A map whose values have this type.
    Map(&'a Type),
    Unknown,
}

impl<'a> Shape<'a> {
    fn of(ty: &'a Type) -> Self {
        if let Type::Object(object) = ty {
            Self::Object(object.get())
        } else if let Type::Map(value) = ty {
            Self::Map(value)
        } else {
            Self::Unknown
        }
    }

    fn field(self, name: &str) -> Option<&'a Field> {
        match self {
            Self::Object(object) => object.field(name),
            Self::Map(_) | Self::Unknown => None,
        }
    }

    fn inner(self, name: &str) -> Self {
        match self {
            Self::Object(object) => object.field(name).map_or(Shape::Unknown, |f| Shape::of(&f.ty)),
            Self::Map(value) => Shape::of(value),
            Self::Unknown => Self::Unknown,
        }
    }
}

/// Applies `patch`, an object, to `current`.
///
/// # Errors
/// When directives are malformed or items lack their merge key.
pub fn apply(current: &Value, patch: Value, schema: &ObjectType) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else { return Err(PatchError::BadRequest("Invalid JSON document".to_owned())) };
    let original = current.as_object().cloned().unwrap_or_default();
    Ok(Value::Object(merge_objects(original, patch, Shape::Object(schema))?))
}

fn merge_objects(mut original: Object, mut patch: Object, shape: Shape<'_>) -> Result<Object, PatchError> {
    match patch.get(PATCH).map(Value::as_str) {
        None => {}
        Some(Some("replace")) => {
            patch.remove(PATCH);
            return Ok(without_directives(patch));
        }
        Some(Some("delete")) => return Ok(Object::new()),
        Some(_) => return Err(bad_type(&patch)),
    }
    retain_keys(&mut original, &mut patch)?;
    ordered_lists(&mut original, &mut patch, shape)?;
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_SCALARS) {
            delete_scalars(&mut original, name, value)?;
            continue;
        }
        let merged = match (original.remove(&key), value) {
            (_, Value::Null) => continue,
            (Some(Value::Object(old)), Value::Object(new)) => {
                if shape.field(&key).is_some_and(|f| f.patch.replace) {
                    Value::Object(without_directives(new))
                } else {
                    Value::Object(merge_objects(old, new, shape.inner(&key))?)
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => merge_lists(old, new, shape.field(&key))?,
            (_, Value::Object(new)) => match clean(Value::Object(new)) {
                Some(value) => value,
                None => continue,
            },
            (_, Value::Array(new)) => clean_list(new),
            (_, value) => value,
        };
        original.insert(key, merged);
    }
    Ok(original)
}

/// `$retainKeys` names all fields that stay; the patch may not set others.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || PatchError::BadRequest("invalid patch format of retainKeys".to_owned());
    let keys = keys.as_array().ok_or_else(bad)?;
    let stays = |key: &str| keys.iter().any(|k| k == key);
    let special = |key: &str| key.starts_with(SET_ORDER) || key.starts_with(DELETE_SCALARS);
    if patch.iter().any(|(key, value)| !value.is_null() && !special(key) && !stays(key)) {
        return Err(bad());
    }
    original.retain(|key, _| stays(key));
    Ok(())
}

/// Handles every list that comes with an order, and takes it out of the patch.
fn ordered_lists(original: &mut Object, patch: &mut Object, shape: Shape<'_>) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let name = directive.get(SET_ORDER.len()..).unwrap_or_default();
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(PatchError::BadRequest("invalid patch format of setElementOrder list".to_owned()));
        };
        let field = shape.field(name);
        let key = field.and_then(|f| f.patch.key.as_deref());
        let (old, new) = (list_of(original.get(name)), list_of(patch.remove(name).as_ref()));
        if let Some(new) = &new {
            check_order(new, &order, key)?;
        }
        let before = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => as_list(clean_list(new)),
            (Some(old), Some(new)) => as_list(merge_lists(old, new, field)?),
        };
        original.insert(name.to_owned(), Value::Array(arrange(merged, &order, &before, key)));
    }
    Ok(())
}

fn list_of(value: Option<&Value>) -> Option<Vec<Value>> {
    value.and_then(Value::as_array).cloned()
}

fn as_list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
    }
}

/// The items of a patch must stand in the order that the patch itself gives.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let mut last = 0;
    for item in patch.iter().filter(|i| i.get(PATCH).is_none()) {
        let at = identity(item, key).and_then(|id| order.iter().position(|o| identity(o, key) == Some(id)));
        match at {
            Some(at) if at >= last => last = at,
            Some(_) | None => {
                let (patch, order) = (go_format(&patch.into()), go_format(&order.into()));
                let words =
                    format!("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n");
                return Err(PatchError::Internal(words));
            }
        }
    }
    Ok(())
}

fn delete_scalars(original: &mut Object, name: &str, gone: Value) -> Result<(), PatchError> {
    let Value::Array(gone) = gone else {
        return Err(PatchError::BadRequest("invalid patch format of primitive list".to_owned()));
    };
    if let Some(Value::Array(items)) = original.get_mut(name) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

fn merge_lists(old: Vec<Value>, new: Vec<Value>, field: Option<&Field>) -> Result<Value, PatchError> {
    let Some(Field { ty: Type::List(item_type), patch: PatchStrategy { merge: true, key, .. }, .. }) = field else {
        return Ok(clean_list(new));
    };
    let Some(key) = key.as_deref() else {
        let mut merged = Vec::new();
        for item in old.iter().chain(&new) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(Value::Array(arrange(merged, &new, &old, None)));
    };
    let mut merged = old.clone();
    let mut order = Vec::new();
    let mut replace = false;
    let mut items = Vec::new();
    for item in new {
        let Value::Object(map) = &item else {
            return Err(PatchError::Internal(format!("list element is not a map: {}", go_format(&item))));
        };
        match map.get(PATCH).map(Value::as_str) {
            None => {
                if map.get(key).is_none() {
                    return Err(no_merge_key(&item, key));
                }
                order.push(item.clone());
                items.push(item);
            }
            Some(Some("delete")) => {
                let gone = map.get(key).ok_or_else(|| no_merge_key(&item, key))?;
                merged.retain(|m| m.get(key) != Some(gone));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                return Err(PatchError::Internal("merging lists cannot yet be specified in the patch".to_owned()));
            }
            Some(_) => return Err(bad_type(map)),
        }
    }
    if replace {
        return Ok(clean_list(items));
    }
    for item in items {
        let Value::Object(item) = item else { continue };
        let found = merged.iter_mut().find(|m| m.get(key) == item.get(key));
        match found {
            Some(Value::Object(there)) => *there = merge_objects(std::mem::take(there), item, Shape::of(item_type))?,
            Some(_) | None => merged.extend(clean(Value::Object(item))),
        }
    }
    Ok(Value::Array(arrange(merged, &order, &old, Some(key))))
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::Internal(format!("map: {} does not contain declared merge key: {key}", go_format(item)))
}

fn bad_type(map: &Object) -> PatchError {
    let directive = map.get(PATCH).map(go_format).unwrap_or_default();
    PatchError::Internal(format!("unknown patch type: {directive} in map: {}", go_format(&Value::Object(map.clone()))))
}

/// A value that is new to the object: nulls and directives mean nothing there. None: the directive deletes it.
fn clean(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.get(PATCH).and_then(Value::as_str) == Some("delete") => None,
        Value::Object(map) => Some(Value::Object(without_directives(map))),
        Value::Array(items) => Some(clean_list(items)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
    }
}

fn clean_list(items: Vec<Value>) -> Value {
    let only_directive = |item: &Value| item.as_object().is_some_and(|m| m.len() == 1 && m.contains_key(PATCH));
    items.into_iter().filter(|item| !only_directive(item)).filter_map(clean).collect()
}

fn without_directives(map: Object) -> Object {
    let special =
        |key: &str| key == PATCH || key == RETAIN_KEYS || key.starts_with(SET_ORDER) || key.starts_with(DELETE_SCALARS);
    map.into_iter()
        .filter(|(key, value)| !value.is_null() && !special(key))
        .filter_map(|(k, v)| Some((k, clean(v)?)))
        .collect()
}
