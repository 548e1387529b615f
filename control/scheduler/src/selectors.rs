//! Label and node selectors, made ready for matching. From pod specs; to plugins. Pure.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    Greater(String, i64),
    Less(String, i64),
    /// A condition that cannot be met.
    Never,
}

impl Requirement {
    /// From key, operator and values.
    pub fn new(key: &str, operator: &str, values: &[String]) -> Self {
        let number = || values.first().and_then(|value| value.parse().ok());
        match operator {
            "In" => Self::In(key.to_owned(), values.to_vec()),
            "NotIn" => Self::NotIn(key.to_owned(), values.to_vec()),
            "Exists" => Self::Exists(key.to_owned()),
            "DoesNotExist" => Self::DoesNotExist(key.to_owned()),
            "Gt" => number().map_or(Self::Never, |number| Self::Greater(key.to_owned(), number)),
            "Lt" => number().map_or(Self::Never, |number| Self::Less(key.to_owned(), number)),
            _ => Self::Never,
        }
    }

    /// Whether the labels meet the condition.
    pub fn matches(&self, labels: &Labels) -> bool {
        let number = |key: &String| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
            Self::Greater(key, bound) => number(key).is_some_and(|number| number > *bound),
            Self::Less(key, bound) => number(key).is_some_and(|number| number < *bound),
            Self::Never => false,
        }
    }
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector(pub Vec<Requirement>);

impl Selector {
    /// From a selector of the API: none selects nothing, an empty one everything.
    pub fn of(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else { return Self(vec![Requirement::Never]) };
        let mut requirements = Self::of_labels(selector.match_labels.iter().flatten()).0;
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.as_deref().unwrap_or_default();
            requirements.push(Requirement::new(&expression.key, &expression.operator, values));
        }
        Self(requirements)
    }

    /// From key-value pairs.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self(labels.into_iter().map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()])).collect())
    }

    /// Whether the labels meet all conditions.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

/// A term of node affinity: conditions on labels and on the node's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTerm {
    labels: Selector,
    names: Vec<Requirement>,
}

impl NodeTerm {
    /// From a term of the API; `None` for an empty one, which matches nothing.
    pub fn of(term: &NodeSelectorTerm) -> Option<Self> {
        let make = |requirements: &Option<Vec<NodeSelectorRequirement>>| -> Vec<Requirement> {
            let requirements = requirements.iter().flatten();
            requirements
                .map(|r| Requirement::new(&r.key, &r.operator, r.values.as_deref().unwrap_or_default()))
                .collect()
        };
        let term = Self { labels: Selector(make(&term.match_expressions)), names: make(&term.match_fields) };
        (!term.labels.0.is_empty() || !term.names.is_empty()).then_some(term)
    }

    /// Whether a node meets the term.
    pub fn matches(&self, labels: &Labels, name: &str) -> bool {
        self.labels.matches(labels)
            && self.names.iter().all(|requirement| match requirement {
                Requirement::In(key, names) if key == "metadata.name" => names.iter().any(|wanted| wanted == name),
                Requirement::NotIn(key, names) if key == "metadata.name" => !names.iter().any(|other| other == name),
                // The API server admits no other field and no other operator.
                Requirement::In(..)
                | Requirement::NotIn(..)
                | Requirement::Exists(_)
                | Requirement::DoesNotExist(_)
                | Requirement::Greater(..)
                | Requirement::Less(..)
                | Requirement::Never => false,
            })
    }

    /// The only nodes that can meet the term, if it names them.
    pub fn node_names(&self) -> Option<Vec<&str>> {
        self.names.iter().find_map(|requirement| {
            let Requirement::In(key, names) = requirement else { return None };
            (key == "metadata.name").then(|| names.iter().map(String::as_str).collect())
        })
    }
}
