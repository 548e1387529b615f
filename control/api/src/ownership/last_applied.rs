//! The hand-over from client-side apply: kubectl's annotation says what it owned before; used by [`super::apply`]; pure.

use serde_json::Value;

use super::Writer;
use super::path::PathSet;
use super::typed::{self, Shape};
use crate::meta;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager whose applies continue those of the client.
const MANAGER: &str = "kubectl";

/// What was applied on the client's side last, when this manager continues it.
pub(super) fn of(live: Option<&Value>, writer: &Writer<'_>) -> Option<Value> {
    let (_, text) = meta::annotations(live?).find(|(key, _)| *key == ANNOTATION && writer.manager == MANAGER)?;
    // A text that is no JSON owns nothing but is replaced all the same.
    Some(serde_json::from_str(text).unwrap_or(Value::Null))
}

/// The paths of `applied` whose values in `live` are still those applied.
pub(super) fn still_own(shape: Shape<'_>, applied: &Value, live: &Value) -> PathSet {
    let mut own = typed::paths(shape, applied);
    let comparison = typed::compare(shape, applied, live);
    for gone in [comparison.modified, comparison.added, comparison.removed] {
        own.subtract(&gone);
    }
    own
}

/// Keeps the annotation in step, so that a client may go back to applying on its own side.
pub(super) fn set(object: &mut Value, patch: &Value) {
    let annotations = meta::metadata_mut(object).entry("annotations").or_insert(Value::Null);
    meta::as_map_mut(annotations).insert(ANNOTATION.to_owned(), Value::String(format!("{patch}\n")));
}
