//! Values of fields that take only a few, which the table of types does not name. From a data file; to schemas and their words. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Type, field, then values as `name: meaning` (the meaning may be empty), all separated by tabs.
const FACTS: &str = include_str!("enums.tsv");

type Values = Vec<(&'static str, &'static str)>;

static ENUMS: LazyLock<HashMap<(&'static str, &'static str), Values>> = LazyLock::new(|| {
    let mut enums = HashMap::new();
    for line in FACTS.lines() {
        let mut columns = line.split('\t');
        let (Some(owner), Some(field)) = (columns.next(), columns.next()) else { continue };
        let values = columns.map(|value| value.split_once(": ").unwrap_or((value, ""))).collect();
        enums.insert((owner, field), values);
    }
    enums
});

/// Values of a field with their meanings.
pub(super) fn of(owner: &str, field: &str) -> Option<&'static [(&'static str, &'static str)]> {
    // Types are known by the end of their name, after the package.
    let short = owner.strip_prefix("io.k8s.api.")?;
    ENUMS.iter().find(|((known, name), _)| *known == short && *name == field).map(|(_, values)| values.as_slice())
}

/// The description with the list of values that Kubernetes appends to it.
pub(super) fn described(words: Option<String>, values: Option<&[(&str, &str)]>) -> Option<String> {
    let Some(values) = values else { return words };
    let mut text = words.unwrap_or_default();
    text.push_str("\n\nPossible enum values:");
    for (name, meaning) in values {
        let space = if meaning.is_empty() { "" } else { " " };
        text.push_str(&format!("\n - `\"{name}\"`{space}{meaning}"));
    }
    Some(text)
}
