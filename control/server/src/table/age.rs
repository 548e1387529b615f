//! Turns lengths of time and timestamps into the short ages of tables (`40h`, `3m12s`). From the printers; to their cells. Pure.

use jiff::Timestamp;
use serde_json::Value;

/// What a table shows where a time is missing.
pub const UNKNOWN: &str = "<unknown>";

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// A length of time in the two most telling units; clocks that disagree by less than two seconds count as `0s`.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / MINUTE, seconds / HOUR);
    if seconds < -1 {
        "<invalid>".to_owned()
    } else if seconds < 0 {
        "0s".to_owned()
    } else if seconds < 2 * MINUTE {
        format!("{seconds}s")
    } else if minutes < 10 {
        two_units((minutes, "m"), (seconds % MINUTE, "s"))
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two_units((hours, "h"), (minutes % 60, "m"))
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        two_units((hours / 24, "d"), (hours % 24, "h"))
    } else if hours < 24 * 365 * 2 {
        format!("{}d", hours / 24)
    } else if hours < 24 * 365 * 8 {
        two_units((hours / 24 / 365, "y"), (hours / 24 % 365, "d"))
    } else {
        format!("{}y", hours / 24 / 365)
    }
}

/// The age of an RFC 3339 time at `pointer` in `object`, or [`UNKNOWN`].
#[must_use]
pub fn age_at(object: &Value, pointer: &str, now: Timestamp) -> String {
    timestamp_at(object, pointer).map_or_else(|| UNKNOWN.to_owned(), |then| age(then, now))
}

/// The age of `then`.
#[must_use]
pub fn age(then: Timestamp, now: Timestamp) -> String {
    human_duration(seconds_between(then, now))
}

/// Whole seconds from `then` to `now`, rounded towards zero as Go does.
#[must_use]
pub fn seconds_between(then: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(then).as_secs()
}

/// The RFC 3339 time at `pointer`, when there is a readable one.
#[must_use]
pub fn timestamp_at(object: &Value, pointer: &str) -> Option<Timestamp> {
    object.pointer(pointer)?.as_str()?.parse().ok()
}

fn two_units((large, large_unit): (i64, &str), (small, small_unit): (i64, &str)) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}
