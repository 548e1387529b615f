//! Who set which field: `metadata.managedFields`, and server-side apply; from decoded objects; to [`crate::object`]; pure.
//!
//! Every field has owners. An ordinary write takes over what it changes ([`record_update`]); an apply owns what it names, conflicts with
//! others who own it with another value, and removes what it no longer names ([`apply`]).

use std::sync::LazyLock;

use serde_json::Value;

use crate::decode;
use crate::field::{FieldError, Path};
use crate::kinds::{Kind, gvk_text};
use crate::meta;
use crate::schema::{Type, canonical};
use crate::strategy::Part;

mod fit;
mod last_applied;
mod managed;
mod path;
mod typed;

pub use managed::{Identity, Managed, Owned};
pub use path::{PathSet, Step};
use typed::Shape;

/// Who writes, when, and in which version.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager: the query parameter, or the user agent up to its first slash.
    pub manager: &'a str,
    /// Version of the request.
    pub api_version: &'a str,
    /// The current time as [`crate::time::seconds`] writes it.
    pub now: &'a str,
}

impl Writer<'_> {
    fn identity(&self, part: Part<'_>, apply: bool) -> Identity {
        Identity {
            manager: if self.manager.is_empty() { "unknown".to_owned() } else { self.manager.to_owned() },
            apply,
            api_version: if apply { String::new() } else { self.api_version.to_owned() },
            subresource: part.subresource().to_owned(),
        }
    }
}

/// A field manager from the query or, when that is empty, from the user agent.
#[must_use]
pub fn manager_name(query: &str, user_agent: &str) -> String {
    const MAX_BYTES: usize = 128;
    if !query.is_empty() {
        return query.to_owned();
    }
    let prefix = user_agent.split('/').next().unwrap_or_default();
    let printable: String = prefix.chars().filter(|c| !c.is_control()).collect();
    let mut end = printable.len().min(MAX_BYTES);
    while !printable.is_char_boundary(end) {
        end -= 1;
    }
    printable.get(..end).unwrap_or_default().to_owned()
}

/// Fields that nobody owns, relative to the object.
const NOT_OWNED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

static NOT_OWNED_SET: LazyLock<PathSet> = LazyLock::new(|| {
    let mut set = PathSet::default();
    for fields in NOT_OWNED {
        let path: Vec<Step> = fields.iter().map(|f| Step::Field((*f).to_owned())).collect();
        set.insert(&path);
    }
    set
});

/// Sets `metadata.managedFields` of `new` after an ordinary write. `old`: the object before, none for a create.
///
/// Both objects are canonical with defaults; `new` is as the client means it, before its preparation. An object that exists and has no
/// entries gets none.
pub fn record_update(kind: &Kind, part: Part<'_>, old: Option<&Value>, new: &mut Value, writer: &Writer<'_>) {
    let from_live = || old.and_then(managed::read).unwrap_or_default();
    let mut entries = if part != Part::Whole {
        // Entries cannot be set through a subresource.
        from_live()
    } else if managed::is_reset(new) {
        Managed::new()
    } else {
        managed::read(new).filter(|m| !m.is_empty()).unwrap_or_else(from_live)
    };
    managed::clear(new);
    if entries.is_empty() && old.is_some() {
        return;
    }
    let shape = Shape::Struct(kind.schema.get());
    // The entries of the old object count as removed, which does no harm: nobody owns them.
    let comparison = match old {
        Some(old) => typed::compare(shape, old, new),
        None => typed::compare(shape, &canonical::zero(&Type::Object(kind.schema.clone())), new),
    };
    // What a write to this part cannot set, it takes from nobody.
    let changed = filter(kind, part, comparison.modified.union(&comparison.added));
    let removed = filter(kind, part, comparison.removed);
    for owned in entries.values_mut().filter(|o| o.api_version == writer.api_version) {
        owned.set.subtract(&changed);
        owned.set.subtract(&removed);
    }
    let mut taken = changed;
    taken.subtract(&NOT_OWNED_SET);
    if !taken.is_empty() {
        let owned = entries.entry(writer.identity(part, false)).or_default();
        owned.set = owned.set.union(&taken);
        writer.api_version.clone_into(&mut owned.api_version);
        writer.now.clone_into(&mut owned.time);
    }
    managed::write(new, entries);
}

/// Takes a field from all that set it by ordinary writes of the whole object.
///
/// For a field that is written through a subresource of another kind, in which upstream knows those writers no more (apimachinery
/// `managedfields/scalehandler.go`, v1.34).
pub fn disown(object: &mut Value, field: &[&str]) {
    let Some(mut entries) = managed::read(object) else { return };
    for (_, owned) in entries.iter_mut().filter(|(owner, _)| !owner.apply && owner.subresource.is_empty()) {
        owned.set = std::mem::take(&mut owned.set).without_subtree(field);
    }
    managed::write(object, entries);
}

fn without_entries(mut object: Value) -> Value {
    managed::clear(&mut object);
    object
}

/// Leaves out what a write to this part cannot set.
fn filter(kind: &Kind, part: Part<'_>, mut set: PathSet) -> PathSet {
    for fields in kind.strategy.reset_fields(part) {
        set = set.without_subtree(fields);
    }
    set
}

/// Fields that others own with other values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Conflicts {
    /// Owner and path, in order of owners.
    pub list: Vec<(Identity, Vec<Step>)>,
}

impl Conflicts {
    fn message(&self) -> String {
        let shown = |path: &[Step]| path.iter().map(Step::shown).collect::<String>();
        if let [(owner, path)] = self.list.as_slice() {
            return format!("Apply failed with 1 conflict: conflict with {}: {}", owner.shown(), shown(path));
        }
        let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
        for (owner, path) in &self.list {
            let line = format!("- {}", shown(path));
            match blocks.iter_mut().find(|(name, _)| *name == owner.shown()) {
                Some((_, lines)) => lines.push(line),
                None => blocks.push((owner.shown(), vec![line])),
            }
        }
        blocks.sort();
        let blocks: Vec<String> =
            blocks.into_iter().map(|(name, lines)| format!("conflicts with {name}:\n{}", lines.join("\n"))).collect();
        format!("Apply failed with {} conflicts: {}", self.list.len(), blocks.join("\n"))
    }

    /// The causes of the `Status` (409, reason `Conflict`).
    #[must_use]
    pub fn causes(&self) -> Value {
        let cause = |(owner, path): &(Identity, Vec<Step>)| {
            serde_json::json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", owner.shown()),
                "field": path.iter().map(Step::shown).collect::<String>(),
            })
        };
        self.list.iter().map(cause).collect()
    }
}

/// The apply cannot be done; `Display` is the message of the `Status`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// 400
    #[error("{0}")]
    BadRequest(String),
    /// 409
    #[error(transparent)]
    Conflict(#[from] Conflicts),
    /// 500 without reason: the patch does not fit the schema.
    #[error("{0}")]
    Internal(String),
}

/// Parses the body of an apply: JSON or YAML.
///
/// # Errors
/// When it is neither, or no object.
pub fn parse_patch(patch: &[u8]) -> Result<Value, ApplyError> {
    let bad = |why: String| ApplyError::BadRequest(format!("error decoding YAML: {why}"));
    let value = match serde_json::from_slice(patch) {
        Ok(value) => value,
        Err(_) => {
            let text = std::str::from_utf8(patch).map_err(|e| bad(e.to_string()))?;
            decode::yaml_to_value(text).map_err(bad)?
        }
    };
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(bad("json: cannot unmarshal into Go value of type map[string]interface {}".to_owned()))
        }
    }
}

/// Applies `patch` for a manager.
///
/// `live`: the object now, none when the apply creates it. The result is canonical, has defaults and carries the new `managedFields`; it
/// is equal to `live` when nothing changes. A manager `kubectl` takes over what client-side apply owned before.
///
/// # Errors
/// When the patch is of another kind, does not fit the schema, or (without `force`) conflicts with other owners.
pub fn apply(
    kind: &Kind,
    part: Part<'_>,
    live: Option<&Value>,
    patch: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    check_kind(kind, patch)?;
    let shape = Shape::Struct(kind.schema.get());
    let Some(client_side) = last_applied::of(live, writer) else {
        return merge(kind, part, live, patch, writer, force);
    };
    let result = match merge(kind, part, live, patch, writer, force) {
        Err(ApplyError::Conflict(conflicts)) => {
            let allowed = live.map(|live| last_applied::still_own(shape, &client_side, live)).unwrap_or_default();
            let list: Vec<_> = conflicts.list.into_iter().filter(|(_, path)| !allowed.contains(path)).collect();
            if list.is_empty() { merge(kind, part, live, patch, writer, true) } else { Err(Conflicts { list }.into()) }
        }
        other => other,
    };
    result.map(|mut object| {
        last_applied::set(&mut object, patch);
        object
    })
}

/// One apply, without regard to client-side apply.
fn merge(
    kind: &Kind,
    part: Part<'_>,
    live: Option<&Value>,
    patch: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    let shape = Shape::Struct(kind.schema.get());
    let problems = fit::problems(shape, patch);
    if !problems.is_empty() {
        let text = match problems.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let (namespace, name) = (meta::namespace(patch), meta::name(patch));
        let object = format!("{namespace}/{name}; {}", kind.gvk_text());
        return Err(ApplyError::Internal(format!("failed to create typed patch object ({object}): {text}")));
    }
    let mut entries = live.and_then(managed::read).unwrap_or_default();
    let empty = || canonical::zero(&Type::Object(kind.schema.clone()));
    if let (Some(live), true) = (live, entries.is_empty()) {
        // Whoever wrote the object before anybody applied owns all of it.
        let before = Writer { manager: "before-first-apply", ..*writer };
        let mut whole = without_entries(live.clone());
        record_update(kind, Part::Whole, None, &mut whole, &before);
        entries = managed::read(&whole).unwrap_or_default();
    }
    let live = without_entries(live.cloned().unwrap_or_else(empty));

    let identity = writer.identity(part, true);
    let last = entries.get(&identity).map(|o| o.set.clone()).unwrap_or_default();
    let claimed = filter(kind, part, typed::paths(shape, patch));
    let mut mine = entries.remove(&identity).unwrap_or_default();
    mine.set = claimed;
    writer.api_version.clone_into(&mut mine.api_version);
    entries.insert(identity.clone(), mine);

    let merged = typed::merge(shape, Some(&live), Some(patch));
    let pruned = prune(shape, &merged, &entries, &last);
    let comparison = typed::compare(shape, &live, &pruned);
    let changed = comparison.modified.union(&comparison.added);
    let mut conflicts = Vec::new();
    for (owner, owned) in
        entries.iter_mut().filter(|(o, owned)| **o != identity && owned.api_version == writer.api_version)
    {
        let contested = owned.set.intersection(&changed);
        conflicts.extend(contested.paths().into_iter().map(|path| (owner.clone(), path)));
        owned.set.subtract(&contested);
        owned.set.subtract(&comparison.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(Conflicts { list: conflicts }.into());
    }
    let same = changed.is_empty() && comparison.removed.is_empty();
    if let Some(mine) = entries.get_mut(&identity) {
        mine.set.subtract(&NOT_OWNED_SET);
        if !same {
            writer.now.clone_into(&mut mine.time);
        }
    }
    let mut object = if same { live } else { retyped(kind, pruned)? };
    managed::write(&mut object, entries);
    Ok(object)
}

/// The merged object as a typed one: canonical values, defaults.
fn retyped(kind: &Kind, value: Value) -> Result<Value, ApplyError> {
    let typed = decode::retype(value, kind.schema.get(), decode::FieldValidation::Ignore);
    let mut object = typed.map_err(ApplyError::Internal)?.object;
    kind.strategy.defaults(&mut object);
    canonical::canonicalize(kind.schema.get(), &mut object);
    Ok(object)
}

fn check_kind(kind: &Kind, patch: &Value) -> Result<(), ApplyError> {
    let text = |field: &str| patch.get(field).and_then(Value::as_str).unwrap_or_default();
    let gvk = decode::Gvk::new(text("apiVersion"), text("kind")).map_err(ApplyError::BadRequest)?;
    if (&gvk.group, &gvk.version, &gvk.kind) != (&kind.group, &kind.version, &kind.kind) {
        let shown = gvk_text(&gvk.group, &gvk.version, &gvk.kind);
        return Err(ApplyError::BadRequest(format!("invalid object type: {shown}")));
    }
    let given = patch.get("metadata").and_then(|m| m.get("managedFields"));
    if given.is_some_and(|m| !m.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    Ok(())
}

/// Takes out of `merged` what the manager owned last time and now nobody owns.
fn prune(shape: Shape<'_>, merged: &Value, entries: &Managed, last: &PathSet) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let named = |set: &PathSet| set.with_named_fields(shape, &Shape::is_named, &Shape::inner);
    let last = named(last);
    let all = named(&typed::paths(shape, merged));
    // First everything of last time goes, then what somebody owns comes back …
    let pruned = named(&typed::paths(shape, &typed::remove(shape, merged, &last)));
    let owned = named(&entries.values().fold(PathSet::default(), |set, o| set.union(&o.set)));
    let pruned = typed::remove(shape, merged, &all.difference(&pruned.union(&owned)));
    // … and what went along without having been owned.
    let gone = all.difference(&named(&typed::paths(shape, &pruned))).intersection(&last);
    typed::remove(shape, merged, &gone)
}

/// Rules of `metadata.managedFields` that hold for every object.
#[must_use]
pub fn validate(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let list = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    for (index, entry) in list.into_iter().flatten().enumerate() {
        let at = path.index(index);
        let operation = entry.get("operation").cloned().unwrap_or_else(|| Value::String(String::new()));
        if !matches!(operation.as_str(), Some("Apply" | "Update")) {
            errors.push(FieldError::invalid(&at.child("operation"), &operation, "must be `Apply` or `Update`"));
        }
        let fields_type = entry.get("fieldsType").and_then(Value::as_str).unwrap_or_default();
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(FieldError::invalid_text(&at.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
    }
    errors
}

#[cfg(test)]
mod tests;
