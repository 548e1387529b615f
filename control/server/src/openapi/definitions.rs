//! Schemas of the types a document reaches. From [`super::paths`], which asks for references; to the document's definitions. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use skep_api::kinds::Kinds;
use skep_api::schema::{self, Descriptions, Field, ObjectRef, Topology, Type, descriptions};

use super::{Flavour, enums, leaf};

const RAW_FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry";
const SCHEMA_PROPS: &str = "JSONSchemaProps";

/// The definitions of one document, growing while references are asked for.
pub(super) struct Definitions {
    flavour: Flavour,
    descriptions: Descriptions,
    done: BTreeMap<String, Value>,
    /// Types that are referred to and not yet written.
    open: BTreeSet<String>,
    /// Types made at run time, by name.
    made: BTreeMap<String, ObjectRef>,
}

impl Definitions {
    pub(super) fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            descriptions: descriptions(),
            done: BTreeMap::new(),
            open: BTreeSet::new(),
            made: BTreeMap::new(),
        }
    }

    /// A reference to the type of that name, which the document will then hold.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        if !self.done.contains_key(name) {
            self.open.insert(name.to_owned());
        }
        json!({"$ref": self.flavour.reference(name)})
    }

    /// A reference to an object type, also one made at run time.
    pub(super) fn object(&mut self, object: &ObjectRef) -> Value {
        let name = object.get().name.to_string();
        if schema::builtin(&name).is_none() {
            self.made.insert(name.clone(), object.clone());
        }
        self.reference(&name)
    }

    /// A reference to the list of a kind; made up when the table has no such type.
    pub(super) fn list(&mut self, item: &ObjectRef, list_kind: &str) -> Value {
        let item_name = item.get().name.to_string();
        let name = match item_name.rsplit_once('.') {
            Some((package, _)) => format!("{package}.{list_kind}"),
            None => list_kind.to_owned(),
        };
        if schema::builtin(&name).is_none() && !self.done.contains_key(&name) {
            let items = self.object(item);
            let metadata = self.reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
            let list = json!({"type": "object", "required": ["items"], "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata,
                "items": {"type": "array", "items": items},
            }});
            self.done.insert(name.clone(), list);
        }
        self.reference(&name)
    }

    /// Writes every open type and returns all, with the kinds they are.
    pub(super) fn finish(mut self, kinds: &Kinds) -> Map<String, Value> {
        while let Some(name) = self.open.pop_first() {
            if self.done.contains_key(&name) {
                continue;
            }
            let written = leaf::schema(&name, self.flavour).unwrap_or_else(|| self.write(&name));
            self.done.insert(name, written);
        }
        for kind in kinds.all() {
            let type_name = kind.schema.get().name.to_string();
            let list_name = type_name.rsplit_once('.').map(|(package, _)| format!("{package}.{}", kind.list_kind));
            let named = [(Some(type_name), &kind.kind), (list_name, &kind.list_kind)];
            for (name, of_kind) in named {
                if let Some(Value::Object(written)) = name.and_then(|name| self.done.get_mut(&name)) {
                    let gvk = json!([{"group": kind.group, "version": kind.version, "kind": of_kind}]);
                    written.insert("x-kubernetes-group-version-kind".to_owned(), gvk);
                }
            }
        }
        self.done.into_iter().collect()
    }

    fn write(&mut self, name: &str) -> Value {
        let Some(object) = schema::builtin(name).or_else(|| self.made.get(name).cloned()) else {
            return json!({"type": "object"});
        };
        let object = object.get();
        let mut written = Map::from_iter([("type".to_owned(), json!("object"))]);
        if let Some(words) = self.descriptions.of_type(name) {
            written.insert("description".to_owned(), json!(words));
        }
        let required: Vec<&str> = object.fields().iter().filter(|f| f.required).map(|f| f.name.as_ref()).collect();
        if !required.is_empty() {
            written.insert("required".to_owned(), json!(required));
        }
        let mut properties = Map::new();
        for field in object.fields() {
            properties.insert(field.name.to_string(), self.property(name, field));
        }
        if !properties.is_empty() {
            written.insert("properties".to_owned(), Value::Object(properties));
        }
        if object.atomic {
            written.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        Value::Object(written)
    }

    fn property(&mut self, owner: &str, field: &Field) -> Value {
        let mut schema = self.schema_of(owner, &field.ty);
        if self.flavour == Flavour::V3
            && let Some(reference) = schema.remove("$ref")
        {
            // Version 3.0 allows nothing beside a reference.
            schema.insert("allOf".to_owned(), json!([{"$ref": reference}]));
        }
        let words = self.descriptions.of_field(owner, &field.name).map(|words| words.into_owned());
        let values = enums::of(owner, &field.name);
        if let Some(values) = values {
            let mut names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            schema.insert("enum".to_owned(), json!(names));
        }
        if let Some(words) = enums::described(words, values) {
            schema.insert("description".to_owned(), json!(words));
        }
        if let Some(default) = &field.default {
            schema.insert("default".to_owned(), default.clone());
        }
        if matches!(field.ty, Type::List(_) | Type::WrappedList(_)) {
            let list_type = match &field.topology {
                Topology::Atomic => Some("atomic"),
                Topology::Set => Some("set"),
                Topology::Map(keys) => {
                    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
                    Some("map")
                }
                Topology::Granular => None,
            };
            if let Some(list_type) = list_type {
                schema.insert("x-kubernetes-list-type".to_owned(), json!(list_type));
            }
        } else if field.topology == Topology::Atomic {
            schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        self.patch_strategy(field, &mut schema);
        Value::Object(schema)
    }

    fn patch_strategy(&self, field: &Field, schema: &mut Map<String, Value>) {
        let patch = &field.patch;
        let named = [(patch.merge, "merge"), (patch.retain_keys, "retainKeys"), (patch.replace, "replace")];
        let strategies: Vec<&str> = named.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        if !strategies.is_empty() {
            schema.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategies.join(",")));
        }
        if let Some(key) = &patch.key {
            schema.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
        }
    }

    fn schema_of(&mut self, owner: &str, ty: &Type) -> Map<String, Value> {
        let plain = |kind: &str, format: Option<&str>| {
            let mut schema = Map::from_iter([("type".to_owned(), json!(kind))]);
            schema.extend(format.map(|format| ("format".to_owned(), json!(format))));
            schema
        };
        match ty {
            Type::String => plain("string", None),
            Type::Int32 => plain("integer", Some("int32")),
            Type::Int64 => plain("integer", Some("int64")),
            Type::Double => plain("number", Some("double")),
            Type::Bool => plain("boolean", None),
            Type::Bytes => plain("string", Some("byte")),
            Type::Quantity => self.named(leaf::QUANTITY),
            Type::IntOrString => self.named(leaf::INT_OR_STRING),
            Type::Time => self.named(leaf::TIME),
            Type::MicroTime => self.named(leaf::MICRO_TIME),
            Type::Raw if owner == RAW_FIELDS => self.named(leaf::FIELDS),
            Type::Raw if owner.ends_with(SCHEMA_PROPS) => self.named(&leaf::extension("JSON")),
            Type::Raw => self.named(leaf::RAW),
            Type::Object(object) => into_map(self.object(object)),
            Type::Map(inner) => {
                let mut schema = plain("object", None);
                schema.insert("additionalProperties".to_owned(), Value::Object(self.schema_of(owner, inner)));
                schema
            }
            Type::List(inner) | Type::WrappedList(inner) => {
                let mut schema = plain("array", None);
                schema.insert("items".to_owned(), Value::Object(self.schema_of(owner, inner)));
                schema
            }
            Type::SchemaOrBool => self.named(&leaf::extension("JSONSchemaPropsOrBool")),
            Type::SchemaOrArray => self.named(&leaf::extension("JSONSchemaPropsOrArray")),
            Type::SchemaOrStrings => self.named(&leaf::extension("JSONSchemaPropsOrStringArray")),
        }
    }

    fn named(&mut self, name: &str) -> Map<String, Value> {
        into_map(self.reference(name))
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
