//! Operations on one kind. From the table of kinds; to the paths of a document, with references to [`super::definitions`]. Pure.

use serde_json::{Map, Value, json};
use skep_api::kinds::{Kind, Scope, Subresource};
use skep_api::schema;

use super::definitions::Definitions;
use super::{Flavour, leaf};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// An HTTP operation that a verb becomes.
struct Operation<'a> {
    method: &'static str,
    /// What it does, as `x-kubernetes-action` says.
    action: &'static str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// Body of the request.
    body: Option<Value>,
    answer: Value,
    /// Query parameters: name, type, meaning.
    query: &'static [(&'static str, &'static str, &'static str)],
}

const WRITE: &[(&str, &str, &str)] = &[
    ("dryRun", "string", "With All nothing is stored."),
    ("fieldManager", "string", "Name of whoever makes the change."),
    ("fieldValidation", "string", "What to do about unknown or duplicate fields: Ignore, Warn or Strict."),
];
const PATCH: &[(&str, &str, &str)] = &[
    ("dryRun", "string", "With All nothing is stored."),
    ("fieldManager", "string", "Name of whoever makes the change."),
    ("fieldValidation", "string", "What to do about unknown or duplicate fields: Ignore, Warn or Strict."),
    ("force", "boolean", "Apply patches take fields over from other managers."),
];
const DELETE: &[(&str, &str, &str)] = &[
    ("dryRun", "string", "With All nothing is stored."),
    ("gracePeriodSeconds", "integer", "Seconds before the object is removed."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];
const LIST: &[(&str, &str, &str)] = &[
    ("allowWatchBookmarks", "boolean", "Watches may get BOOKMARK events."),
    ("continue", "string", "Token of the previous answer, for the next part of the list."),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "Most objects in one answer."),
    ("resourceVersion", "string", "Version the answer must, or must at least, have."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "A watch begins with the present objects."),
    ("timeoutSeconds", "integer", "Ends a list or watch after this time."),
    ("watch", "boolean", "Send changes instead of a list."),
];

/// Adds the operations of a kind and of its subresources.
pub(super) fn add(kind: &Kind, flavour: Flavour, definitions: &mut Definitions, paths: &mut Map<String, Value>) {
    let base = if kind.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    let collection = match kind.scope {
        Scope::Namespaced => format!("{base}/namespaces/{{namespace}}/{}", kind.plural),
        Scope::Cluster => format!("{base}/{}", kind.plural),
    };
    let item = format!("{collection}/{{name}}");
    if kind.scope == Scope::Namespaced && kind.has_verb("list") {
        insert(paths, flavour, &format!("{base}/{}", kind.plural), kind, vec![list(kind, definitions)]);
    }
    let of_collection = ["list", "create", "deletecollection"].into_iter().filter(|verb| kind.has_verb(verb));
    let operations = of_collection.map(|verb| match verb {
        "list" => list(kind, definitions),
        "create" => write(kind, "post", "post", definitions),
        _ => delete(kind, "deletecollection", definitions),
    });
    let operations: Vec<Operation<'_>> = operations.collect();
    insert(paths, flavour, &collection, kind, operations);
    let of_item = ["get", "update", "patch", "delete"].into_iter().filter(|verb| kind.has_verb(verb));
    let operations: Vec<Operation<'_>> = of_item.map(|verb| item_operation(kind, verb, definitions)).collect();
    insert(paths, flavour, &item, kind, operations);
    for part in &kind.subresources {
        let operations = part_operations(part, definitions);
        insert(paths, flavour, &format!("{item}/{}", part.name), kind, operations);
    }
}

fn list<'a>(kind: &'a Kind, definitions: &mut Definitions) -> Operation<'a> {
    let answer = definitions.list(&kind.schema, &kind.list_kind);
    Operation { answer, body: None, query: LIST, ..plain(kind, "get", "list") }
}

fn write<'a>(
    kind: &'a Kind,
    method: &'static str,
    action: &'static str,
    definitions: &mut Definitions,
) -> Operation<'a> {
    let object = definitions.object(&kind.schema);
    Operation { body: Some(object.clone()), answer: object, query: WRITE, ..plain(kind, method, action) }
}

fn delete<'a>(kind: &'a Kind, action: &'static str, definitions: &mut Definitions) -> Operation<'a> {
    let body = Some(definitions.reference(&format!("{META}DeleteOptions")));
    let answer = definitions.reference(&format!("{META}Status"));
    Operation { body, answer, query: DELETE, ..plain(kind, "delete", action) }
}

fn item_operation<'a>(kind: &'a Kind, verb: &str, definitions: &mut Definitions) -> Operation<'a> {
    match verb {
        "get" => Operation { answer: definitions.object(&kind.schema), ..plain(kind, "get", "get") },
        "update" => write(kind, "put", "put", definitions),
        "delete" => delete(kind, "delete", definitions),
        _ => {
            let body = Some(definitions.reference(leaf::PATCH));
            Operation { body, answer: definitions.object(&kind.schema), query: PATCH, ..plain(kind, "patch", "patch") }
        }
    }
}

fn part_operations<'a>(part: &'a Subresource, definitions: &mut Definitions) -> Vec<Operation<'a>> {
    let name = schema::type_name(&part.group, &part.version, &part.kind);
    // Options of streams have no type in documents: their answer is text.
    let object = schema::builtin(&name).map(|_| definitions.reference(&name));
    let answer = object.clone().unwrap_or_else(|| json!({"type": "string"}));
    let operation = |method, action| Operation {
        method,
        action,
        group: &part.group,
        version: &part.version,
        kind: &part.kind,
        body: None,
        answer: answer.clone(),
        query: &[],
    };
    let mut operations = Vec::new();
    for verb in &part.verbs {
        operations.push(match verb.as_str() {
            "get" => operation("get", if object.is_some() { "get" } else { "connect" }),
            "update" => Operation { body: object.clone(), query: WRITE, ..operation("put", "put") },
            "create" => Operation { body: object.clone(), query: WRITE, ..operation("post", "post") },
            "patch" => {
                let body = Some(definitions.reference(leaf::PATCH));
                Operation { body, query: PATCH, ..operation("patch", "patch") }
            }
            "delete" => operation("delete", "connect"),
            _ => continue,
        });
    }
    operations
}

fn plain<'a>(kind: &'a Kind, method: &'static str, action: &'static str) -> Operation<'a> {
    Operation {
        method,
        action,
        group: &kind.group,
        version: &kind.version,
        kind: &kind.kind,
        body: None,
        answer: Value::Null,
        query: &[],
    }
}

fn insert(paths: &mut Map<String, Value>, flavour: Flavour, path: &str, kind: &Kind, operations: Vec<Operation<'_>>) {
    if operations.is_empty() {
        return;
    }
    let mut item = Map::new();
    let parameters: Vec<Value> = [("namespace", "{namespace}"), ("name", "{name}")]
        .into_iter()
        .filter(|(_, placeholder)| path.contains(placeholder))
        .map(|(name, _)| parameter(flavour, name, "path", "string", "Part of the object's address."))
        .collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    for operation in operations {
        let id = operation_id(path, kind, &operation);
        item.insert(operation.method.to_owned(), operation.write(flavour, id));
    }
    paths.insert(path.to_owned(), Value::Object(item));
}

/// Unique in the document: the action and the words of the path.
fn operation_id(path: &str, kind: &Kind, operation: &Operation<'_>) -> String {
    let words = path.split('/').filter(|part| !part.is_empty() && !part.starts_with("api"));
    let words: String = words
        .map(|part| if part == "{namespace}" { "namespaced" } else { part.trim_matches(['{', '}']) })
        .map(capitalised)
        .collect();
    let scope = if kind.scope == Scope::Namespaced && !path.contains("{namespace}") { "ForAllNamespaces" } else { "" };
    // Several methods of a stream are one action.
    let method = if operation.action == "connect" { capitalised(operation.method) } else { String::new() };
    format!("{}{method}{words}{scope}", operation.action)
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars().filter(char::is_ascii_alphanumeric);
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

impl Operation<'_> {
    fn write(self, flavour: Flavour, id: String) -> Value {
        let mut parameters: Vec<Value> =
            self.query.iter().map(|(name, kind, words)| parameter(flavour, name, "query", kind, words)).collect();
        let mut operation = Map::from_iter([
            ("operationId".to_owned(), json!(id)),
            ("x-kubernetes-action".to_owned(), json!(self.action)),
            (
                "x-kubernetes-group-version-kind".to_owned(),
                json!({"group": self.group, "version": self.version, "kind": self.kind}),
            ),
        ]);
        let media = if self.action == "patch" { "application/strategic-merge-patch+json" } else { "application/json" };
        let answer = match flavour {
            Flavour::V2 => json!({"description": "OK", "schema": self.answer}),
            Flavour::V3 => json!({"description": "OK", "content": {"application/json": {"schema": self.answer}}}),
        };
        operation.insert("responses".to_owned(), json!({"200": answer}));
        if let Some(body) = self.body {
            match flavour {
                Flavour::V2 => {
                    parameters.insert(0, json!({"name": "body", "in": "body", "required": true, "schema": body}));
                    operation.insert("consumes".to_owned(), json!([media]));
                }
                Flavour::V3 => {
                    operation.insert("requestBody".to_owned(), json!({"content": {media: {"schema": body}}}));
                }
            }
        }
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(parameters));
        }
        Value::Object(operation)
    }
}

fn parameter(flavour: Flavour, name: &str, place: &str, kind: &str, words: &str) -> Value {
    let mut parameter = json!({"name": name, "in": place, "description": words});
    let is_path = place == "path";
    if let Some(members) = parameter.as_object_mut() {
        if is_path {
            members.insert("required".to_owned(), json!(true));
        }
        match flavour {
            Flavour::V2 => members.insert("type".to_owned(), json!(kind)),
            Flavour::V3 => members.insert("schema".to_owned(), json!({"type": kind})),
        };
    }
    parameter
}
