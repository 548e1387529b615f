//! Server-side printing: objects to the `Table` of `meta.k8s.io` that `kubectl get` shows. From the verbs; to response bodies. Pure.
//!
//! object → [`printer::Printer`] (columns and a row function of its kind) → [`Row`] → [`table`]

pub mod age;
mod autoscaler;
mod cluster;
pub mod column;
mod configuration;
mod network;
pub mod partial;
mod pod;
pub mod printer;
pub mod selector_text;
mod storage;
mod workload;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use printer::Printer;

/// Version of `meta.k8s.io` a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1Beta1,
}

impl ViewVersion {
    /// Reads the `v=` parameter of an Accept entry.
    #[must_use]
    pub fn parse(version: &str) -> Option<Self> {
        match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    /// The `apiVersion` of answers.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// What each row carries beside its cells (query parameter `includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

/// The `includeObject` parameter has none of the known values; answered as 400 `BadRequest`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Unable to convert to Table as requested: includeObject: Invalid value: {0:?}: must be 'Metadata', 'Object', 'None', or empty"
)]
pub struct UnknownIncludeObject(pub String);

impl IncludeObject {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// When the value is none of `Metadata`, `Object`, `None` or empty.
    pub fn parse(parameter: &str) -> Result<Self, UnknownIncludeObject> {
        match parameter {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => Err(UnknownIncludeObject(other.to_owned())),
        }
    }
}

/// The cells of one object, and conditions by which clients may filter rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// One value per column.
    pub cells: Vec<Value>,
    /// A list of row conditions, when there are any.
    pub conditions: Option<Value>,
}

impl Row {
    pub(crate) fn of(cells: Vec<Value>) -> Self {
        Self { cells, conditions: None }
    }
}

/// How a table is to be made.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    /// Version of the answer.
    pub version: ViewVersion,
    /// What rows carry.
    pub include: IncludeObject,
    /// False for the second and later events of a watch, which leave the columns out.
    pub headers: bool,
}

/// A table of `objects`; `list_metadata` holds resource version, continue token and remaining count (of a single object: its resource version).
#[must_use]
pub fn table(
    printer: &Printer,
    objects: &[Value],
    list_metadata: Value,
    options: TableOptions,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.iter().map(|object| row_value(printer, object, options, now)).collect();
    let columns =
        if options.headers { printer.columns().iter().map(column::Column::definition).collect() } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": options.version.api_version(),
        "metadata": list_metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// The table of one object, as GET, create, update and watch events answer it.
#[must_use]
pub fn table_of_one(printer: &Printer, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let mut metadata = Map::new();
    if let Some(version) = object.pointer("/metadata/resourceVersion") {
        metadata.insert("resourceVersion".to_owned(), version.clone());
    }
    table(printer, std::slice::from_ref(object), Value::Object(metadata), options, now)
}

fn row_value(printer: &Printer, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let row = printer.row(object, now);
    let included = match options.include {
        IncludeObject::Metadata => partial::partial_object(object, options.version),
        IncludeObject::Object => object.clone(),
        IncludeObject::None => Value::Null,
    };
    let mut value = json!({"cells": row.cells, "object": included});
    if let (Some(conditions), Some(members)) = (row.conditions, value.as_object_mut()) {
        members.insert("conditions".to_owned(), conditions);
    }
    value
}
