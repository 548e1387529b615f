//! The entries of `metadata.managedFields`; from objects; to [`super`], and back; pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::path::PathSet;
use crate::meta;

/// Who wrote: two writes with equal identities share an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The field manager.
    pub manager: String,
    /// Whether by server-side apply.
    pub apply: bool,
    /// Version written in; empty for apply, so that an applier may change versions.
    pub api_version: String,
    /// Name of the subresource; empty for the main resource.
    pub subresource: String,
}

impl Identity {
    /// As conflicts name it: `"kubectl"`, `"kubelet" with subresource "status" using v1`.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut text = crate::field::go_quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", crate::field::go_quote(&self.subresource)));
        }
        if !self.apply {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// What one identity owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Version in which the paths are meant.
    pub api_version: String,
    /// The paths.
    pub set: PathSet,
    /// Time of the last change, RFC 3339; empty when an apply changed nothing.
    pub time: String,
}

/// All entries.
pub type Managed = BTreeMap<Identity, Owned>;

/// As many entries of updates are kept apart; older ones are put together.
const MAX_UPDATE_MANAGERS: usize = 10;

/// Reads the entries of an object; none when one of them is malformed.
pub(super) fn read(object: &Value) -> Option<Managed> {
    let list = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    let mut managed = Managed::new();
    for entry in list.into_iter().flatten() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let apply = match text("operation").as_str() {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if !matches!(text("fieldsType").as_str(), "FieldsV1" | "") {
            return None;
        }
        let set = match entry.get("fieldsV1") {
            None | Some(Value::Null) => PathSet::default(),
            Some(fields) => PathSet::from_fields(fields)?,
        };
        let api_version = text("apiVersion");
        let in_identity = if apply { String::new() } else { api_version.clone() };
        let identity =
            Identity { manager: text("manager"), apply, api_version: in_identity, subresource: text("subresource") };
        managed.insert(identity, Owned { api_version, set, time: text("time") });
    }
    Some(managed)
}

/// Whether the list asks for all entries to be dropped: one empty entry.
pub(super) fn is_reset(object: &Value) -> bool {
    let list = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    matches!(list.map(Vec::as_slice), Some([Value::Object(entry)]) if entry.is_empty())
}

/// Takes the entries away.
pub(super) fn clear(object: &mut Value) {
    meta::metadata_mut(object).remove("managedFields");
}

/// Writes the entries: applies first, then by time and name.
pub(super) fn write(object: &mut Value, mut managed: Managed) {
    managed.retain(|_, owned| !owned.set.is_empty());
    cap(&mut managed);
    let mut entries: Vec<(&Identity, &Owned)> = managed.iter().collect();
    entries.sort_by_key(|(identity, owned)| {
        (!identity.apply, owned.time.clone(), identity.manager.clone(), owned.api_version.clone())
    });
    let list: Vec<Value> = entries.into_iter().map(|(identity, owned)| entry(identity, owned)).collect();
    if list.is_empty() {
        clear(object);
    } else {
        meta::metadata_mut(object).insert("managedFields".to_owned(), Value::Array(list));
    }
}

fn entry(identity: &Identity, owned: &Owned) -> Value {
    let mut map = Map::new();
    let operation = if identity.apply { "Apply" } else { "Update" };
    for (field, value) in [
        ("manager", identity.manager.as_str()),
        ("operation", operation),
        ("apiVersion", &owned.api_version),
        ("time", &owned.time),
        ("fieldsType", "FieldsV1"),
        ("subresource", &identity.subresource),
    ] {
        if !value.is_empty() {
            map.insert(field.to_owned(), json!(value));
        }
    }
    map.insert("fieldsV1".to_owned(), owned.set.to_fields());
    Value::Object(map)
}

/// Puts the oldest updates of a version together when there are too many.
fn cap(managed: &mut Managed) {
    let mut updates: Vec<(String, Identity)> =
        managed.iter().filter(|(i, _)| !i.apply).map(|(i, owned)| (owned.time.clone(), i.clone())).collect();
    updates.sort();
    let mut count = updates.len();
    let mut first_of: BTreeMap<String, Identity> = BTreeMap::new();
    for (time, identity) in updates {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let version = identity.api_version.clone();
        let bucket = Identity {
            manager: "ancient-changes".to_owned(),
            apply: false,
            api_version: version.clone(),
            subresource: String::new(),
        };
        match first_of.get(&version) {
            None => {
                first_of.insert(version, identity);
            }
            Some(first) => {
                if !managed.contains_key(&bucket)
                    && let Some(owned) = managed.remove(first)
                {
                    managed.insert(bucket.clone(), owned);
                }
                let Some(old) = managed.remove(&identity) else { continue };
                let into = managed.entry(bucket).or_default();
                into.set = into.set.union(&old.set);
                into.api_version = version;
                into.time = time;
                count -= 1;
            }
        }
    }
}
