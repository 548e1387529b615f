//! Label selectors, made ready for matching. From specs; to controllers that look for objects by label. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A label selector; all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    nothing: bool,
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// A selector that matches no object.
    pub fn nothing() -> Self {
        Self { nothing: true, requirements: Vec::new() }
    }

    /// From an optional selector of a spec: none matches nothing, an empty one everything.
    pub fn of(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else { return Self::nothing() };
        let mut made = Self::of_labels(selector.match_labels.iter().flatten());
        for expression in selector.match_expressions.iter().flatten() {
            let key = expression.key.clone();
            let values = expression.values.clone().unwrap_or_default();
            made.requirements.push(match expression.operator.as_str() {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::DoesNotExist(key),
                // The API server admits no other operator; one that we do not know must not select anything.
                _ => return Self::nothing(),
            });
        }
        made
    }

    /// From plain key-value pairs, as Services and ReplicationControllers use.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self {
            nothing: false,
            requirements: labels
                .into_iter()
                .map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()]))
                .collect(),
        }
    }

    /// Whether every object is matched.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether an object with these labels is matched.
    pub fn matches(&self, labels: Option<&Labels>) -> bool {
        let value = |key: &str| labels.and_then(|labels| labels.get(key));
        !self.nothing
            && self.requirements.iter().all(|requirement| match requirement {
                Requirement::In(key, values) => value(key).is_some_and(|v| values.contains(v)),
                Requirement::NotIn(key, values) => value(key).is_none_or(|v| !values.contains(v)),
                Requirement::Exists(key) => value(key).is_some(),
                Requirement::DoesNotExist(key) => value(key).is_none(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn selectors_match_as_documented() {
        let selector = Selector::of(Some(&LabelSelector {
            match_labels: Some(labels(&[("app", "a")])),
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "tier".into(),
                operator: "NotIn".into(),
                values: Some(vec!["x".into()]),
            }]),
        }));
        assert!(selector.matches(Some(&labels(&[("app", "a")]))));
        assert!(selector.matches(Some(&labels(&[("app", "a"), ("tier", "y")]))));
        assert!(!selector.matches(Some(&labels(&[("app", "a"), ("tier", "x")]))));
        assert!(!selector.matches(None));
        assert!(!Selector::of(None).matches(None));
        assert!(Selector::of(Some(&LabelSelector::default())).matches(None));
        assert!(Selector::of(Some(&LabelSelector::default())).is_everything());
    }
}
