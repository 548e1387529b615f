//! Label and field selectors of lists and watches, read against the kind's selectable fields. From the query; to the watch cache. Pure.

use std::sync::Arc;

use skep_api::kinds::Kind;
use skep_api::selector::{FieldSelector, LabelSelector};
use skep_storage::watch_cache::Filter;

use crate::label_marks::LabelMarks;
use crate::object::Object;
use crate::query::Query;
use crate::status::ApiError;

/// Which objects are wanted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: Option<Arc<LabelSelector>>,
    marks: LabelMarks,
    fields: Arc<[Requirement]>,
}

/// A condition on one field.
#[derive(Clone, Debug)]
struct Requirement {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    /// Position in `Strategy::field_labels`.
    Label(usize),
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// 400 for what cannot be parsed, and for fields that the kind does not select by.
    pub fn parse(query: &Query, kind: &Kind) -> Result<Self, ApiError> {
        let labels = query.text("labelSelector");
        let labels = if labels.trim().is_empty() {
            None
        } else {
            Some(Arc::new(LabelSelector::parse(labels).map_err(ApiError::bad_request)?))
        };
        let marks = labels.as_deref().map(LabelMarks::needed_by).unwrap_or_default();
        let fields = query.text("fieldSelector");
        let parsed = FieldSelector::parse(fields).map_err(ApiError::bad_request)?;
        parsed.check(kind).map_err(ApiError::bad_request)?;
        let known = kind.strategy.field_labels();
        let fields = parsed
            .requirements()
            .iter()
            .map(|requirement| {
                let label = requirement.field.as_str();
                let field = match label {
                    "metadata.name" => Field::Name,
                    "metadata.namespace" => Field::Namespace,
                    other => {
                        let position = known.iter().position(|l| *l == other);
                        let unknown = || ApiError::bad_request(format!("field label not supported: {other}"));
                        Field::Label(position.ok_or_else(unknown)?)
                    }
                };
                Ok(Requirement { field, equal: requirement.equal, value: requirement.value.clone() })
            })
            .collect::<Result<Vec<_>, ApiError>>()?;
        Ok(Self { labels, marks, fields: fields.into() })
    }

    /// Whether every object is wanted.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_empty()
    }

    /// Whether an object is wanted.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        let field = |requirement: &Requirement| {
            let value = match requirement.field {
                Field::Name => &object.name,
                Field::Namespace => &object.namespace,
                Field::Label(position) => object.field(position),
            };
            (value == requirement.value) == requirement.equal
        };
        object.marks.include(self.marks)
            && self.fields.iter().all(field)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(|key| object.label(key)))
    }

    /// The filter for the watch cache; none when everything is wanted.
    #[must_use]
    pub fn filter(&self) -> Option<Filter<Object>> {
        if self.is_everything() {
            return None;
        }
        let selection = self.clone();
        Some(Arc::new(move |object: &Object| selection.matches(object)))
    }

    /// The one value of a field that is wanted, when the selection says so.
    #[must_use]
    pub fn exact(&self, kind: &Kind, label: &str) -> Option<&str> {
        let position = kind.strategy.field_labels().iter().position(|l| *l == label)?;
        let exact = self.fields.iter().find(|r| r.field == Field::Label(position) && r.equal);
        exact.map(|r| r.value.as_str())
    }

    /// The one name that is wanted, when the selection says so.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.fields.iter().find(|r| r.field == Field::Name && r.equal).map(|r| r.value.as_str())
    }
}
