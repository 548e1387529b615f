//! Objects seen as trees of owned fields: their paths, differences, merge and removal; used by [`super`]; pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::path::{PathSet, Step};
use crate::schema::{Field, ObjectType, Topology, Type};

/// How ownership sees the inside of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// One unit: a scalar, or something owned as a whole.
    Leaf(Option<&'a Type>),
    Struct(&'a ObjectType),
    Map(&'a Type),
    /// A list of distinct scalars.
    Set,
    /// A list of objects told apart by keys.
    Keyed(&'a Type, &'a [String]),
}

impl<'a> Shape<'a> {
    fn of_field(field: &'a Field) -> Self {
        match (&field.ty, &field.topology) {
            (Type::Object(_) | Type::Map(_), Topology::Atomic) => Self::Leaf(Some(&field.ty)),
            (Type::List(_) | Type::WrappedList(_), Topology::Set) => Self::Set,
            (Type::List(item), Topology::Map(keys)) => Self::Keyed(item, keys),
            (ty, _) => Self::of(ty),
        }
    }

    fn of(ty: &'a Type) -> Self {
        if let Type::Object(object) = ty
            && !object.get().atomic
        {
            return Self::Struct(object.get());
        }
        if let Type::Map(value) = ty { Self::Map(value) } else { Self::Leaf(Some(ty)) }
    }

    /// The shape below a step.
    pub(super) fn inner(self, step: &Step) -> Self {
        match (self, step) {
            (Self::Struct(object), Step::Field(name)) => object.field(name).map_or(Self::Leaf(None), Self::of_field),
            (Self::Map(value), Step::Field(_)) => Self::of(value),
            (Self::Keyed(item, _), _) => Self::of(item),
            (Self::Struct(_) | Self::Map(_) | Self::Set | Self::Leaf(_), _) => Self::Leaf(None),
        }
    }

    /// Whether the step is a declared field (as opposed to a key of a map or an item).
    pub(super) fn is_named(self, step: &Step) -> bool {
        matches!((self, step), (Self::Struct(object), Step::Field(name)) if object.field(name).is_some())
    }

    /// The step to each item; an error names the item that has no identity.
    fn items(self, list: &[Value]) -> Result<Vec<Step>, String> {
        list.iter().map(|item| self.item(item)).collect()
    }

    pub(super) fn item(self, item: &Value) -> Result<Step, String> {
        match self {
            Self::Keyed(ty, keys) => {
                let mut identity = Map::new();
                for key in keys {
                    let given = item.get(key).filter(|v| !v.is_null());
                    let default = if let Type::Object(object) = ty {
                        object.get().field(key).and_then(|f| f.default.as_ref())
                    } else {
                        None
                    };
                    identity.extend(given.or(default).map(|v| (key.clone(), v.clone())));
                }
                if identity.is_empty() {
                    let key = keys.first().map(String::as_str).unwrap_or_default();
                    return Err(format!("associative list with keys has an element that omits key field \"{key}\""));
                }
                Ok(Step::Key(Value::Object(identity).to_string()))
            }
            Self::Set | Self::Leaf(_) | Self::Struct(_) | Self::Map(_) => Ok(Step::Value(item.to_string())),
        }
    }
}

/// The paths that an applied object claims.
pub(super) fn paths(shape: Shape<'_>, value: &Value) -> PathSet {
    let mut set = PathSet::default();
    claim(shape, value, &mut Vec::new(), &mut set);
    set
}

fn claim(shape: Shape<'_>, value: &Value, path: &mut Vec<Step>, set: &mut PathSet) {
    match (shape, value) {
        (Shape::Leaf(_), _) => set.insert(path),
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            for (key, inner) in map {
                let step = Step::Field(key.clone());
                path.push(step.clone());
                claim(shape.inner(&step), inner, path, set);
                let empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
                if empty || !shape.is_named(&step) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Shape::Set | Shape::Keyed(..), Value::Array(items)) => {
            for item in items {
                let Ok(step) = shape.item(item) else { continue };
                path.push(step.clone());
                claim(shape.inner(&step), item, path, set);
                set.insert(path);
                path.pop();
            }
        }
        (Shape::Struct(_) | Shape::Map(_) | Shape::Set | Shape::Keyed(..), _) => {}
    }
}

/// What differs between two objects.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: PathSet,
    pub(super) removed: PathSet,
    pub(super) modified: PathSet,
}

/// Compares; a value that is absent differs from null.
pub(super) fn compare(shape: Shape<'_>, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    walk(shape, Some(old), Some(new), &mut Vec::new(), &mut comparison);
    comparison
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
    }
}

fn walk(shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<Step>, out: &mut Comparison) {
    // Most of an object stays as it is; comparing values is much cheaper than naming paths.
    if old == new {
        return;
    }
    let leaf = matches!(shape, Shape::Leaf(_)) || (is_empty(old) && is_empty(new));
    if leaf {
        match (old, new) {
            (None, Some(_)) => out.added.insert(path),
            (Some(_), None) => out.removed.insert(path),
            (Some(old), Some(new)) if old != new => out.modified.insert(path),
            (Some(_), Some(_)) | (None, None) => {}
        }
        return;
    }
    match shape {
        Shape::Struct(_) | Shape::Map(_) => {
            let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let keys: BTreeSet<&String> = before.into_iter().chain(after).flat_map(Map::keys).collect();
            for key in keys {
                let (was, is) = (before.and_then(|m| m.get(key)), after.and_then(|m| m.get(key)));
                if was == is {
                    continue;
                }
                let step = Step::Field(key.clone());
                let inner = shape.inner(&step);
                path.push(step);
                walk(inner, was, is, path, out);
                path.pop();
            }
        }
        Shape::Set | Shape::Keyed(..) => {
            let (before, after) = (with_steps(shape, old), with_steps(shape, new));
            let steps: BTreeSet<&Step> = before.iter().chain(&after).map(|(s, _)| s).collect();
            let find = |list: &[(Step, &'_ Value)], step: &Step| list.iter().position(|(s, _)| s == step);
            for step in steps {
                path.push(step.clone());
                let old = find(&before, step).and_then(|i| before.get(i)).map(|(_, v)| *v);
                let new = find(&after, step).and_then(|i| after.get(i)).map(|(_, v)| *v);
                walk(shape.inner(step), old, new, path, out);
                path.pop();
            }
        }
        Shape::Leaf(_) => {}
    }
    match (old, new) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn with_steps<'v>(shape: Shape<'_>, list: Option<&'v Value>) -> Vec<(Step, &'v Value)> {
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| Some((shape.item(item).ok()?, item))).collect()
}

/// Lays `applied` over `live`.
pub(super) fn merge(shape: Shape<'_>, live: Option<&Value>, applied: Option<&Value>) -> Value {
    let (live, applied) = match (live, applied) {
        (live, None) => return live.cloned().unwrap_or(Value::Null),
        (None, Some(applied)) => return applied.clone(),
        (Some(live), Some(applied)) => (live, applied),
    };
    match (shape, live, applied) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(old), Value::Object(new)) => {
            let mut merged = old.clone();
            for (key, value) in new {
                let inner = merge(shape.inner(&Step::Field(key.clone())), old.get(key), Some(value));
                merged.insert(key.clone(), inner);
            }
            Value::Object(merged)
        }
        (Shape::Set | Shape::Keyed(..), Value::Array(old), Value::Array(new)) => {
            match (shape.items(old), shape.items(new)) {
                (Ok(old_steps), Ok(new_steps)) => {
                    Value::Array(merge_items(shape, (old, &old_steps), (new, &new_steps)))
                }
                _ => applied.clone(),
            }
        }
        _ => applied.clone(),
    }
}

/// Items of both lists: those that both have in the order of the applied one, the others between their neighbours.
fn merge_items(shape: Shape<'_>, live: (&[Value], &[Step]), applied: (&[Value], &[Step])) -> Vec<Value> {
    let at = |list: (&[Value], &[Step]), step: &Step| {
        list.1.iter().position(|s| s == step).and_then(|i| list.0.get(i).cloned())
    };
    let item = |step: &Step| merge(shape.inner(step), at(live, step).as_ref(), at(applied, step).as_ref());
    let in_live = |step: &Step| live.1.contains(step);
    let in_applied = |step: &Step| applied.1.contains(step);
    let mut shared = applied.1.iter().filter(|s| in_live(s)).peekable();
    let mut merged: BTreeSet<&Step> = BTreeSet::new();
    let mut out = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < live.1.len() || r < applied.1.len() {
        if let (Some(left), Some(right)) = (live.1.get(l), applied.1.get(r)) {
            if left == right {
                merged.insert(left);
                out.push(item(left));
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            if in_applied(left) && shared.peek().is_some_and(|s| *s != left) {
                l += 1;
                continue;
            }
        }
        if let Some(left) = live.1.get(l) {
            if !in_applied(left) {
                out.extend(live.0.get(l).cloned());
                l += 1;
                continue;
            }
            if merged.contains(left) {
                l += 1;
            }
        }
        if let Some(right) = applied.1.get(r) {
            merged.insert(right);
            out.push(item(right));
            r += 1;
            if shared.peek().is_some_and(|s| *s == right) {
                shared.next();
            }
        } else if live.1.get(l).is_some_and(|left| in_applied(left) && !merged.contains(left)) {
            // Cannot be: every applied item has been taken. Going on keeps the loop finite.
            l += 1;
        }
    }
    out
}

/// Takes items away; a list or map that loses its last one becomes null.
pub(super) fn remove(shape: Shape<'_>, value: &Value, gone: &PathSet) -> Value {
    match (shape, value) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) if !map.is_empty() => {
            let mut left = Map::new();
            for (key, inner) in map {
                let step = Step::Field(key.clone());
                if gone.has(&step) {
                    continue;
                }
                let inner =
                    gone.below(&step).map_or_else(|| inner.clone(), |below| remove(shape.inner(&step), inner, below));
                left.insert(key.clone(), inner);
            }
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        (Shape::Set | Shape::Keyed(..), Value::Array(items)) if !items.is_empty() => {
            let mut left = Vec::new();
            for item in items {
                match shape.item(item) {
                    Ok(step) if gone.has(&step) => {}
                    Ok(step) => left.push(
                        gone.below(&step).map_or_else(|| item.clone(), |below| remove(shape.inner(&step), item, below)),
                    ),
                    Err(_) => left.push(item.clone()),
                }
            }
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
        _ => value.clone(),
    }
}
