//! Field selectors such as `spec.nodeName=n1,status.phase!=Running`; from URLs; to lists and watches; pure.

use serde_json::Value;

use crate::field::go_quote;
use crate::kinds::Kind;
use crate::meta;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's label, for instance `metadata.name`.
    pub field: String,
    /// Whether the value must be equal (as opposed to different).
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// Conditions on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads the text of a URL. `\`, `,` and `=` in values are escaped by `\`.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for term in terms(text).iter().filter(|t| !t.is_empty()) {
            let (field, equal, value) =
                split(term).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{term}'"))?;
            requirements.push(FieldRequirement { field: field.to_owned(), equal, value: unescape(value)? });
        }
        Ok(Self { requirements })
    }

    /// Checks that the kind can be selected by these fields.
    ///
    /// # Errors
    /// Upstream's words, which differ from group to group.
    pub fn check(&self, kind: &Kind) -> Result<(), String> {
        let own = kind.strategy.field_labels();
        for FieldRequirement { field, .. } in &self.requirements {
            if matches!(field.as_str(), "metadata.name" | "metadata.namespace") || own.contains(&field.as_str()) {
                continue;
            }
            return Err(match kind.group.as_str() {
                _ if own.is_empty() => {
                    format!(
                        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                        go_quote(field)
                    )
                }
                "batch" => format!("field label {} not supported for {}", go_quote(field), kind.kind),
                _ => format!("field label not supported: {field}"),
            });
        }
        Ok(())
    }

    /// Whether an object of `kind` fulfils all conditions.
    #[must_use]
    pub fn matches(&self, kind: &Kind, object: &Value) -> bool {
        self.requirements.iter().all(|r| {
            let value = match r.field.as_str() {
                "metadata.name" => meta::name(object).to_owned(),
                "metadata.namespace" => meta::namespace(object).to_owned(),
                label => kind.strategy.selectable_field(object, label),
            };
            (value == r.value) == r.equal
        })
    }

    /// The conditions, in order.
    #[must_use]
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that a field must have, when the selector says so.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.equal && r.field == field).map(|r| r.value.as_str())
    }
}

/// Splits at commas that are not escaped.
fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(text.get(start..).unwrap_or_default());
    terms
}

fn split(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let (left, right) = term.split_at(at);
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = right.strip_prefix(operator) {
                return Some((left, equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(format!("invalid field selector: invalid escape sequence: {}", go_quote(&sequence)));
                }
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            c => out.push(c),
        }
    }
    Ok(out)
}
