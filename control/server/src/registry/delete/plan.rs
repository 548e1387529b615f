//! Decides what a deletion does to an object. From [`super`]; to it. Pure.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use skep_api::kinds::Kind;
use skep_api::{meta, time};

use super::{DeleteOptions, Propagation};
use crate::registry::kinds::{DefaultPropagation, default_propagation};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The deletion is under way already.
    Nothing,
    /// Remove it now.
    Gone,
    /// Write this state, and then perhaps remove it.
    Mark {
        /// The new state.
        object: Value,
        /// Remove it after the write.
        then_gone: bool,
    },
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What `asked` means for `old`; `now` as objects write times.
#[must_use]
pub fn plan(kind: &Kind, old: &Value, asked: &DeleteOptions, now: &str) -> Plan {
    if kind.plural == "namespaces" && kind.group.is_empty() {
        return plan_namespace(kind, old, asked, now);
    }
    let mut new = old.clone();
    let grace = match grace(kind, &mut new, asked, now) {
        Grace::Pending => return Plan::Nothing,
        Grace::None => None,
        Grace::Seconds(seconds) => Some(seconds),
    };
    set_finalizers(kind, &mut new, asked);
    let has_finalizers = !meta::finalizers(&new).is_empty();
    match grace {
        Some(seconds) => Plan::Mark { object: new, then_gone: seconds == 0 && !has_finalizers },
        None if has_finalizers => {
            mark(&mut new, now);
            Plan::Mark { object: new, then_gone: false }
        }
        None => Plan::Gone,
    }
}

/// Whether a change took away the last thing that kept a deleted object alive.
#[must_use]
pub fn is_finished(target: &crate::registry::Target, new: &Value, old: &Value) -> bool {
    if meta::deletion_timestamp(new).is_none() || !meta::finalizers(new).is_empty() {
        return false;
    }
    if target.kind.plural == "namespaces" && target.kind.group.is_empty() {
        return namespace_finalizers(new) == 0;
    }
    let grace = |object: &Value| object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    // An object whose grace period runs is removed by who watches over it (the kubelet), not by losing a finalizer.
    grace(new).is_none_or(|seconds| seconds == 0) && grace(old).is_none_or(|seconds| seconds == 0)
}

/// A written time moved by seconds; none when it cannot be read.
fn add_seconds(at: &str, seconds: i64) -> Option<String> {
    let moved = time::parse(at).ok()?.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    Some(time::seconds(moved))
}

enum Grace {
    None,
    Pending,
    Seconds(i64),
}

fn grace(kind: &Kind, object: &mut Value, asked: &DeleteOptions, now: &str) -> Grace {
    // Negative periods mean one second.
    let asked_seconds = asked.grace_period_seconds.map(|s| if s < 0 { 1 } else { s });
    let Some(period) = kind.strategy.grace_period_seconds(object, asked_seconds) else { return Grace::None };
    if let Some(deleted_at) = meta::deletion_timestamp(object).map(str::to_owned) {
        let running = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        let Some(running) = running else { return Grace::None };
        // A running period can only be cut short.
        return match asked_seconds {
            // Marked for removal at once, and still here: the server died between the two writes.
            Some(0) if running == 0 && meta::finalizers(object).is_empty() => Grace::Seconds(0),
            Some(shorter) if shorter < running => {
                let start = add_seconds(&deleted_at, shorter.saturating_sub(running));
                set_deletion(object, &start.unwrap_or(deleted_at), shorter);
                Grace::Seconds(shorter)
            }
            Some(_) | None => Grace::Pending,
        };
    }
    let end = add_seconds(now, period).unwrap_or_else(|| now.to_owned());
    set_deletion(object, &end, period);
    bump_generation(object);
    Grace::Seconds(period)
}

fn mark(object: &mut Value, now: &str) {
    if meta::deletion_timestamp(object).is_none() {
        bump_generation(object);
        set_deletion(object, now, 0);
    } else {
        meta::metadata_mut(object).insert("deletionGracePeriodSeconds".to_owned(), json!(0));
    }
}

fn set_deletion(object: &mut Value, at: &str, seconds: i64) {
    let metadata = meta::metadata_mut(object);
    metadata.insert("deletionTimestamp".to_owned(), json!(at));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(seconds));
}

fn bump_generation(object: &mut Value) {
    let generation = meta::generation(object);
    if generation > 0 {
        meta::metadata_mut(object).insert("generation".to_owned(), json!(generation + 1));
    }
}

/// Turns the asked propagation into the finalizer the garbage collector acts on.
fn set_finalizers(kind: &Kind, object: &mut Value, asked: &DeleteOptions) {
    let default = default_propagation(kind);
    if default == DefaultPropagation::Unsupported {
        return;
    }
    let held = meta::finalizers(object);
    let has = |name: &str| held.contains(&name);
    let wanted = match asked.propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        None if has(ORPHAN) => Some(ORPHAN),
        None if has(FOREGROUND) => Some(FOREGROUND),
        None => (default == DefaultPropagation::Orphan).then_some(ORPHAN),
    };
    let mut names: Vec<String> =
        held.iter().filter(|n| **n != ORPHAN && **n != FOREGROUND).map(|n| (*n).to_owned()).collect();
    names.extend(wanted.map(str::to_owned));
    if names.len() == held.len() && held.iter().all(|n| names.iter().any(|m| m == n)) {
        return;
    }
    let metadata = meta::metadata_mut(object);
    if names.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(names));
    }
}

/// Namespaces stay, Terminating, until the namespace controller has emptied them and taken its finalizer out of `spec`.
fn plan_namespace(kind: &Kind, old: &Value, asked: &DeleteOptions, now: &str) -> Plan {
    let mut new = old.clone();
    if meta::deletion_timestamp(old).is_none() {
        let metadata = meta::metadata_mut(&mut new);
        metadata.insert("deletionTimestamp".to_owned(), json!(now));
        meta::as_map_mut(&mut new)
            .entry("status")
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
            .map(|status| status.insert("phase".to_owned(), json!("Terminating")));
        set_finalizers(kind, &mut new, asked);
        return Plan::Mark { object: new, then_gone: false };
    }
    if namespace_finalizers(old) > 0 || !meta::finalizers(old).is_empty() {
        return Plan::Mark { object: new, then_gone: false };
    }
    Plan::Gone
}

fn namespace_finalizers(namespace: &Value) -> usize {
    namespace.pointer("/spec/finalizers").and_then(Value::as_array).map_or(0, Vec::len)
}

#[cfg(test)]
mod tests;
