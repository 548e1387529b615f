//! Joins schemas, messages and shapes into the two generated texts; from the readers; to the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, bail};

use crate::json_schema::{Node, Object};
use crate::protobuf::{Field, Message, plain};
use crate::shapes::Shapes;

/// The generated files' contents.
pub struct Table {
    /// `@type [atomic]` lines, each followed by its fields: name, type, tag, flags, patch strategy, patch key, list type, list keys, default.
    pub types: String,
    /// `@type<TAB>description` lines, each followed by `field<TAB>description` lines; line feeds and backslashes are escaped.
    pub descriptions: String,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Types that are reachable from no kind but travel over the wire.
const ROOTS: &[&str] = &[
    "Status",
    "DeleteOptions",
    "WatchEvent",
    "APIGroup",
    "APIGroupList",
    "APIResourceList",
    "APIVersions",
    "LabelSelector",
];

/// Builds both texts.
pub fn build(
    objects: &BTreeMap<String, Object>,
    messages: &BTreeMap<String, Message>,
    shapes: &Shapes,
) -> anyhow::Result<Table> {
    let mut builder =
        Builder { objects, messages, shapes, todo: Vec::new(), rows: BTreeMap::new(), words: BTreeMap::new() };
    for (group, version, kind) in &shapes.kinds {
        let name = kind_type(group, version, kind);
        let Some(object) = objects.get(&name) else { continue };
        builder.todo.push(name.clone());
        if let Some(list_kind) = &object.list_kind {
            builder.list(&name, list_kind);
        }
    }
    builder.todo.extend(ROOTS.iter().map(|root| format!("{META}{root}")));
    builder.partial();
    let mut seen = BTreeSet::new();
    while let Some(name) = builder.todo.pop() {
        if seen.insert(name.clone()) {
            builder.object(&name).with_context(|| name.clone())?;
        }
    }
    let flat = |map: &BTreeMap<String, Vec<String>>| {
        map.iter().fold(String::new(), |mut text, (name, lines)| {
            text.push('@');
            text.push_str(name);
            for line in lines {
                text.push_str(line);
                text.push('\n');
            }
            text
        })
    };
    Ok(Table { types: flat(&builder.rows), descriptions: flat(&builder.words) })
}

/// The OpenAPI name of a kind's type.
fn kind_type(group: &str, version: &str, kind: &str) -> String {
    let short = group.split('.').next().unwrap_or_default();
    match group {
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        "apiextensions.k8s.io" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}"),
        "apiregistration.k8s.io" => format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{version}.{kind}"),
        _ => format!("io.k8s.api.{short}.{version}.{kind}"),
    }
}

struct Builder<'a> {
    objects: &'a BTreeMap<String, Object>,
    messages: &'a BTreeMap<String, Message>,
    shapes: &'a Shapes,
    todo: Vec<String>,
    /// By type name: first the rest of the heading line, then the fields' lines.
    rows: BTreeMap<String, Vec<String>>,
    words: BTreeMap<String, Vec<String>>,
}

impl Builder<'_> {
    fn object(&mut self, name: &str) -> anyhow::Result<()> {
        let object = self.objects.get(name).with_context(|| format!("no schema of {name}"))?;
        let atomic = self.shapes.merge.get(&(name.to_owned(), String::new())).is_some_and(|m| m.map_type == "atomic");
        let mut rows = vec![if atomic { "\tatomic".to_owned() } else { String::new() }];
        let mut words = vec![format!("\t{}", escape(object.schema.text("description").unwrap_or_default()))];
        let message = self.messages.get(&name.to_ascii_lowercase());
        let required: Vec<&str> = match object.schema.get("required") {
            Some(Node::List(list)) => {
                list.iter().filter_map(|n| if let Node::Text(t) = n { Some(t.as_str()) } else { None }).collect()
            }
            _ => Vec::new(),
        };
        let none = BTreeMap::new();
        let properties = match object.schema.get("properties") {
            Some(Node::Map(properties)) => properties,
            _ if object.schema.text("type") == Some("object") => &none,
            _ => bail!("{name} is not an object"),
        };
        for (field, node) in properties {
            let found = message.and_then(|m| self.find(m, field));
            let type_meta = field == "apiVersion" || field == "kind";
            if found.is_none() && message.is_some() && !type_meta {
                eprintln!("no protobuf field for {name}.{field}");
            }
            let (tag, pb) = found.unzip();
            let ty = self.type_of(node, pb.as_ref()).with_context(|| field.clone())?;
            let flags = self.flags(name, field, &ty, required.contains(&field.as_str()));
            let merge = self.shapes.merge.get(&(name.to_owned(), field.clone())).cloned().unwrap_or_default();
            let list_type = if merge.map_type.is_empty() { merge.list_type } else { merge.map_type };
            let default = pb.as_ref().and_then(|f| f.default.clone()).unwrap_or_default();
            let row = [
                field,
                &ty,
                &tag.unwrap_or_default(),
                &flags,
                &merge.patch_strategy,
                &merge.patch_key,
                &list_type,
                &merge.list_keys,
                &default,
            ]
            .map(String::as_str)
            .join("\t");
            rows.push(row.trim_end_matches('\t').to_owned());
            let description = match node {
                Node::Reference(_, description) => description.as_deref(),
                node => node.text("description"),
            };
            if let Some(description) = description {
                words.push(format!("{field}\t{}", escape(description)));
            }
        }
        self.rows.insert(name.to_owned(), rows);
        self.words.insert(name.to_owned(), words);
        Ok(())
    }

    /// The field's tag (`2.5` when it lies in an embedded message) and its protobuf description.
    fn find(&self, message: &Message, json: &str) -> Option<(String, Field)> {
        let name = plain(json);
        if let Some(field) = message.iter().find(|f| f.name == name) {
            return Some((field.tag.to_string(), field.clone()));
        }
        message.iter().filter(|f| f.kind == "message, optional").find_map(|embedded| {
            let inner = self.messages.get(embedded.message.as_ref()?)?;
            // Only messages that JSON inlines are embedded; their own field names never appear in JSON. Go one level at a time.
            let (tag, field) = self.find_embedded(inner, &name)?;
            EMBEDDED.contains(&embedded.name.as_str()).then(|| (format!("{}.{tag}", embedded.tag), field))
        })
    }

    fn find_embedded(&self, message: &Message, name: &str) -> Option<(String, Field)> {
        if let Some(field) = message.iter().find(|f| f.name == name) {
            return Some((field.tag.to_string(), field.clone()));
        }
        message.iter().filter(|f| f.kind == "message, optional" && EMBEDDED.contains(&f.name.as_str())).find_map(
            |embedded| {
                let (tag, field) = self.find_embedded(self.messages.get(embedded.message.as_ref()?)?, name)?;
                Some((format!("{}.{tag}", embedded.tag), field))
            },
        )
    }

    fn type_of(&mut self, node: &Node, pb: Option<&Field>) -> anyhow::Result<String> {
        if let Node::Reference(name, _) = node {
            return Ok(self.reference(name));
        }
        Ok(match (node.text("type"), node.text("format")) {
            (Some("string"), Some("byte")) => "bytes".to_owned(),
            (Some("string"), Some("date-time")) => "time".to_owned(),
            (Some("string"), _) => "string".to_owned(),
            (Some("integer"), Some(format @ ("int32" | "int64"))) => format.to_owned(),
            (Some("number"), Some("double")) => "double".to_owned(),
            (Some("boolean"), _) => "bool".to_owned(),
            (Some("array"), _) => {
                let item = node.get("items").context("a list has items")?;
                format!("[]{}", self.type_of(item, pb)?)
            }
            (Some("object"), _) => match node.get("additionalProperties") {
                Some(value) => {
                    let wrapped =
                        matches!(value.text("type"), Some("array")) && pb.is_some_and(|f| f.kind.contains("message"));
                    let value = self.type_of(value, pb)?;
                    if wrapped { format!("{{}}%{}", value.trim_start_matches("[]")) } else { format!("{{}}{value}") }
                }
                None => "raw".to_owned(),
            },
            (None, _) => "raw".to_owned(),
            other => bail!("unknown type {other:?}"),
        })
    }

    fn reference(&mut self, name: &str) -> String {
        let last = name.rsplit('.').next().unwrap_or_default();
        let scalar = match last {
            "Quantity" => "quantity",
            "IntOrString" => "intorstring",
            "Time" => "time",
            "MicroTime" => "microtime",
            "RawExtension" | "FieldsV1" | "JSON" => "raw",
            "JSONSchemaPropsOrBool" => "schema-or-bool",
            "JSONSchemaPropsOrArray" => "schema-or-array",
            "JSONSchemaPropsOrStringArray" => "schema-or-strings",
            _ => {
                self.todo.push(name.to_owned());
                return format!("@{name}");
            }
        };
        if scalar.starts_with("schema-or") {
            self.todo.push(name.replace(last, "JSONSchemaProps"));
        }
        scalar.to_owned()
    }

    /// `r` required; then what an empty value becomes: `a` is written as zero, `n` as null, `o` is left out, `k` is kept
    /// (a pointer: only absence is left out).
    fn flags(&self, type_name: &str, field: &str, ty: &str, required: bool) -> String {
        let moment = matches!(ty, "time" | "microtime");
        let object = ty.starts_with('@') || ty.starts_with("schema-or");
        // Texts and numbers are left out when zero; moments, quantities and objects are pointers unless said otherwise.
        let zero_is_empty = matches!(ty, "string" | "int32" | "int64" | "double" | "bool" | "bytes");
        let container = ty.starts_with("[]") || ty.starts_with("{}");
        let empty = match self.shapes.go(type_name, field, object || moment) {
            Some("pointer") => 'k',
            Some("value") => 'a',
            Some("null") => 'n',
            _ if required => 'a',
            _ if container || zero_is_empty => 'o',
            _ => 'k',
        };
        // `metadata` is called required by the source though upstream's schema does not say so.
        let required = required && !(field == "metadata" && ty.ends_with("Meta"));
        if required { format!("r{empty}") } else { empty.to_string() }
    }

    fn list(&mut self, item: &str, list_kind: &str) {
        let name = format!("{}.{list_kind}", item.rsplit_once('.').map_or("", |(package, _)| package));
        let mut rows = vec![String::new()];
        rows.push("apiVersion\tstring\t\to".to_owned());
        rows.push(format!("items\t[]@{item}\t2\tra"));
        rows.push("kind\tstring\t\to".to_owned());
        rows.push(format!("metadata\t@{META}ListMeta\t1\ta"));
        self.todo.push(format!("{META}ListMeta"));
        let kind = item.rsplit('.').next().unwrap_or_default();
        let meta = |field: &str| {
            self.objects.get(item).and_then(|o| o.schema.get("properties")?.get(field)?.text("description"))
        };
        let mut words = vec![format!("\t{list_kind} is a list of {kind}.")];
        for field in ["apiVersion", "kind"] {
            words.extend(meta(field).map(|d| format!("{field}\t{}", escape(d))));
        }
        words.push(format!("items\tThe {kind} objects."));
        words.push("metadata\tStandard list metadata.".to_owned());
        self.rows.insert(name.clone(), rows);
        self.words.insert(name, words);
    }

    /// The types of metadata-only answers, which no OpenAPI document names.
    fn partial(&mut self) {
        let type_meta = |rest: [String; 2]| {
            let mut rows = vec![String::new(), "apiVersion\tstring\t\to".to_owned()];
            rows.extend(rest);
            rows.sort_by_key(|row| row.split('\t').next().unwrap_or_default().to_owned());
            rows
        };
        let kind = || "kind\tstring\t\to".to_owned();
        let one = type_meta([kind(), format!("metadata\t@{META}ObjectMeta\t1\ta")]);
        let mut list = type_meta([kind(), format!("metadata\t@{META}ListMeta\t1\ta")]);
        list.insert(2, format!("items\t[]@{META}PartialObjectMetadata\t2\tra"));
        self.rows.insert(format!("{META}PartialObjectMetadata"), one);
        self.rows.insert(format!("{META}PartialObjectMetadataList"), list);
        self.todo.push(format!("{META}ObjectMeta"));
    }
}

/// Protobuf fields of embedded Go structs: their fields stand in the outer object in JSON.
const EMBEDDED: &[&str] = &[
    "volumesource",
    "persistentvolumesource",
    "ephemeralcontainercommon",
    "handler",
    "localobjectreference",
    "rule",
    "rulewithoperations",
    "ingressrulevalue",
    "deviceconfiguration",
];

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push(' '),
            c => {
                let _ = write!(out, "{c}");
            }
        }
    }
    out
}
