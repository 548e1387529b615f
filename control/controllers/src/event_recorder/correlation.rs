//! Decides whether an occurrence is a new Event, a repetition, or too much. From the recorder; to it. Pure.
//!
//! The numbers are those of client-go's event correlator (`tools/record/events_cache.go`, v1.34).

use super::Occurrence;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

/// Different messages about one thing before they are combined.
const DISTINCT_MESSAGES: usize = 10;
/// Period in which messages are combined.
const COMBINE_SECONDS: i64 = 600;
/// Events about one object that may come in a burst.
const BURST: f64 = 25.0;
/// Seconds per further event about an object after a burst.
const SECONDS_PER_EVENT: f64 = 300.0;
/// Remembered things; beyond that the memory starts anew.
const MEMORY: usize = 4096;

/// What to do with an occurrence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too many about this object.
    Drop,
    /// A new Event.
    Create { name: String, message: String },
    /// The known Event of this name has happened once more.
    Count { name: String, message: String, count: i32 },
}

/// What was written before.
#[derive(Debug, Default)]
pub(super) struct Correlation {
    similar: HashMap<String, Similar>,
    written: HashMap<String, (String, i32)>,
    tokens: HashMap<String, (f64, Timestamp)>,
}

#[derive(Debug)]
struct Similar {
    messages: HashSet<String>,
    last: Timestamp,
}

impl Correlation {
    pub(super) fn judge(&mut self, occurrence: &Occurrence, now: Timestamp) -> Verdict {
        if self.similar.len() + self.written.len() + self.tokens.len() > MEMORY {
            *self = Self::default();
        }
        let about = &occurrence.about;
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let object = [
            occurrence.component.to_owned(),
            part(&about.kind),
            part(&about.namespace),
            part(&about.name),
            part(&about.uid),
            part(&about.api_version),
        ]
        .join("/");
        if !self.spend(&object, now) {
            return Verdict::Drop;
        }
        let thing = format!("{object}/{}/{}", occurrence.severity, occurrence.reason);
        let similar =
            self.similar.entry(thing.clone()).or_insert_with(|| Similar { messages: HashSet::new(), last: now });
        if now.as_second() - similar.last.as_second() > COMBINE_SECONDS {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(occurrence.message.clone());
        let (key, message) = if similar.messages.len() >= DISTINCT_MESSAGES {
            (thing, format!("(combined from similar events): {}", occurrence.message))
        } else {
            (format!("{thing}/{}", occurrence.message), occurrence.message.clone())
        };
        if let Some((name, count)) = self.written.get_mut(&key) {
            *count = count.saturating_add(1);
            return Verdict::Count { name: name.clone(), message, count: *count };
        }
        let name = format!("{}.{:x}", part(&about.name), now.as_nanosecond());
        self.written.insert(key, (name.clone(), 1));
        Verdict::Create { name, message }
    }

    fn spend(&mut self, object: &str, now: Timestamp) -> bool {
        let (tokens, last) = self.tokens.entry(object.to_owned()).or_insert((BURST, now));
        let seconds = now.duration_since(*last).as_secs_f64();
        *tokens = (*tokens + seconds / SECONDS_PER_EVENT).min(BURST);
        *last = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ObjectReference;

    fn occurrence(message: &str) -> Occurrence {
        Occurrence {
            component: "c",
            about: ObjectReference { name: Some("o".into()), ..ObjectReference::default() },
            severity: "Normal",
            reason: "R",
            message: message.into(),
        }
    }

    #[test]
    fn repetitions_are_counted_and_floods_combined_then_dropped() {
        let mut correlation = Correlation::default();
        let now = Timestamp::UNIX_EPOCH;
        let Verdict::Create { name, .. } = correlation.judge(&occurrence("m"), now) else { panic!("new") };
        assert_eq!(correlation.judge(&occurrence("m"), now), Verdict::Count { name, message: "m".into(), count: 2 });
        for n in 0..8 {
            assert!(matches!(correlation.judge(&occurrence(&n.to_string()), now), Verdict::Create { .. }));
        }
        let Verdict::Create { message, .. } = correlation.judge(&occurrence("x"), now) else { panic!("combined") };
        assert_eq!(message, "(combined from similar events): x");
        assert!(matches!(correlation.judge(&occurrence("y"), now), Verdict::Count { .. }));
        let verdicts: Vec<_> = (0..20).map(|_| correlation.judge(&occurrence("z"), now)).collect();
        assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Drop).count(), 7);
    }
}
