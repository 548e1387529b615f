//! Label and field selectors; from URLs and objects; to lists, watches and controllers; pure.

mod fields;
mod label_text;

use std::fmt;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::name;

pub use fields::{FieldRequirement, FieldSelector};

/// What a label must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// One of the values; `=`, `==` and `in`.
    In,
    /// None of the values, or absent; `!=` and `notin`.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
    /// A number above the value.
    GreaterThan,
    /// A number below the value.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// What it must be.
    pub operator: Operator,
    /// Sorted; empty for [`Operator::Exists`] and [`Operator::DoesNotExist`].
    pub values: Vec<String>,
    /// Written with `=` or `!=` rather than as a set.
    equality: bool,
}

impl LabelRequirement {
    /// Checks key and values.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        values.sort();
        values.dedup();
        let mut errors: Vec<String> = Vec::new();
        let nowhere = Path::root();
        errors.extend(
            name::qualified_name(key).into_iter().map(|m| FieldError::invalid_text(&nowhere, key, m).to_string()),
        );
        let path = Path::new("values");
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                let words = "for 'in', 'notin' operators, values set can't be empty";
                errors.push(FieldError::invalid_shown(&path, "[]", words).to_string());
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    let words = "for 'Gt', 'Lt' operators, exactly one value is required";
                    errors.push(FieldError::invalid(&path, &Value::from(values.clone()), words).to_string());
                }
                for (index, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    let words = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.push(FieldError::invalid_text(&path.index(index), value, words).to_string());
                }
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                let words = "values set must be empty for exists and does not exist";
                errors.push(FieldError::invalid(&path, &Value::from(values.clone()), words).to_string());
            }
            Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {}
        }
        for (index, value) in values.iter().enumerate() {
            let at = path.index(index).key(key);
            errors.extend(
                name::label_value(value).into_iter().map(|m| FieldError::invalid_text(&at, value, m).to_string()),
            );
        }
        match errors.as_slice() {
            [] => Ok(Self { key: key.to_owned(), operator, values, equality: false }),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|l| l == v);
        let compare = |v: &str| Some(v.parse::<i64>().ok()?.cmp(&self.values.first()?.parse::<i64>().ok()?));
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => value.and_then(compare).is_some_and(std::cmp::Ordering::is_gt),
            Operator::LessThan => value.and_then(compare).is_some_and(std::cmp::Ordering::is_lt),
        }
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.equality => write!(f, "{key}={values}"),
            Operator::NotIn if self.equality => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Matches every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Matches no object.
    #[must_use]
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the text of a URL, for instance `app in (a,b),!old`.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = label_text::parse(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `LabelSelector` of an object: `matchLabels` and `matchExpressions`. null matches nothing, an empty one everything.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn from_object(selector: &Value) -> Result<Self, String> {
        let Value::Object(map) = selector else { return Ok(Self::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in map.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            requirements.push(equals(key, value)?);
        }
        for expression in map.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(format!("{} is not a valid label selector operator", crate::field::go_quote(other)));
                }
            };
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(LabelRequirement::new(text("key"), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a plain map of labels, as Services and ReplicationControllers select with.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn from_labels(labels: &Value) -> Result<Self, String> {
        let entries = labels.as_object().into_iter().flatten();
        let requirements = entries.map(|(k, v)| equals(k, v.as_str().unwrap_or_default())).collect::<Result<_, _>>()?;
        Ok(Self { requirements, nothing: false })
    }

    /// Whether labels fulfil all conditions; `label` looks one up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// Whether an object's labels fulfil all conditions.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|m| m.get("labels"));
        self.matches(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    }

    /// Whether every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The conditions, by key.
    #[must_use]
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
    }
}

/// `key=value`
fn equals(key: &str, value: &str) -> Result<LabelRequirement, String> {
    let requirement = LabelRequirement::new(key, Operator::In, vec![value.to_owned()])?;
    Ok(LabelRequirement { equality: true, ..requirement })
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
