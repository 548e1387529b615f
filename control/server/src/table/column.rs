//! The columns of every kind's table, read once from the embedded facts. From [`super::printer`]; to the table's head. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// Columns of Kubernetes v1.34's tables: group, version, resource, column, type, format, priority.
const FACTS: &str = include_str!("columns.tsv");
/// What each column means, by its name.
const DESCRIPTIONS: &str = include_str!("column-descriptions.tsv");

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Title.
    pub name: &'static str,
    /// `OpenAPI` type of the cells.
    pub kind: &'static str,
    /// `OpenAPI` format; `name` marks the object's name.
    pub format: &'static str,
    /// 0 is always shown, higher only in wide output.
    pub priority: i32,
    /// Meaning, for people.
    pub description: &'static str,
}

impl Column {
    /// The column as a `TableColumnDefinition`.
    #[must_use]
    pub fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

/// Name and creation time: what kinds without a printer of their own show.
pub const GENERIC: [Column; 2] = [
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 0,
        description: "Name of the object, unique within its namespace or, for cluster-wide kinds, within the cluster.",
    },
    Column {
        name: "Created At",
        kind: "date",
        format: "",
        priority: 0,
        description: "Time at which the object was created (RFC 3339, UTC).",
    },
];

type Key = (&'static str, &'static str, &'static str);

static COLUMNS: LazyLock<Vec<(Key, Vec<Column>)>> = LazyLock::new(read);

/// The columns of a resource, when its table is known.
#[must_use]
pub fn columns_of(group: &str, version: &str, resource: &str) -> Option<&'static [Column]> {
    COLUMNS.iter().find(|(key, _)| *key == (group, version, resource)).map(|(_, columns)| columns.as_slice())
}

/// Every resource whose columns are known.
pub fn known() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    COLUMNS.iter().map(|(key, _)| *key)
}

fn read() -> Vec<(Key, Vec<Column>)> {
    let descriptions: HashMap<&str, &str> = DESCRIPTIONS.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut columns: Vec<(Key, Vec<Column>)> = Vec::new();
    for line in FACTS.lines().skip(1) {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let key = (next(), next(), next());
        let (name, kind, format, priority) = (next(), next(), next(), next());
        if columns.last().is_none_or(|(last, _)| *last != key) {
            columns.push((key, Vec::new()));
        }
        let column = Column {
            name,
            kind,
            format,
            priority: priority.parse().unwrap_or_default(),
            description: descriptions.get(name).copied().unwrap_or_default(),
        };
        if let Some((_, of_key)) = columns.last_mut() {
            of_key.push(column);
        }
    }
    columns
}
