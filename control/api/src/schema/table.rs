//! Reads the generated table of types; from its text; to [`ObjectType`]s; pure.

use super::{Empty, Field, ObjectType, PatchStrategy, Topology, Type, builtin};

/// The types of the table: name and lines, in the order of the table (by name).
pub(super) fn split(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let table = table.strip_prefix('@').unwrap_or(table);
    table.split("\n@").map(|text| {
        let name = text.split(['\t', '\n']).next().unwrap_or_default();
        (name, text)
    })
}

/// Parses one type: a heading `name[<TAB>atomic]`, then a line per field.
pub(super) fn parse(text: &'static str) -> ObjectType {
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let (name, flag) = heading.split_once('\t').unwrap_or((heading, ""));
    ObjectType::new(name, flag == "atomic", false, lines.map(field).collect())
}

fn field(line: &'static str) -> Field {
    let mut columns = line.split('\t');
    let mut next = || columns.next().unwrap_or_default();
    let (name, ty, tags, flags) = (next(), next(), next(), next());
    let (strategy, key, list_type, list_keys, default) = (next(), next(), next(), next(), next());
    let ty = parse_type(ty);
    let topology = match list_type {
        "atomic" => Topology::Atomic,
        "set" => Topology::Set,
        "map" => Topology::Map(list_keys.split(',').map(str::to_owned).collect()),
        _ if matches!(ty, Type::List(_) | Type::WrappedList(_)) => Topology::Atomic,
        _ => Topology::Granular,
    };
    Field {
        name: name.into(),
        ty,
        tags: tags.split('.').filter_map(|t| t.parse().ok()).collect(),
        required: flags.contains('r'),
        empty: match flags.trim_start_matches('r') {
            "a" => Empty::Zero,
            "n" => Empty::Null,
            "k" => Empty::Keep,
            _ => Empty::Omit,
        },
        topology,
        patch: PatchStrategy {
            merge: strategy.split(',').any(|s| s == "merge"),
            retain_keys: strategy.split(',').any(|s| s == "retainKeys"),
            replace: strategy.split(',').any(|s| s == "replace"),
            key: (!key.is_empty()).then(|| key.to_owned()),
        },
        default: serde_json::from_str(default).ok(),
    }
}

fn parse_type(text: &'static str) -> Type {
    if let Some(item) = text.strip_prefix("[]") {
        return Type::List(Box::new(parse_type(item)));
    }
    if let Some(value) = text.strip_prefix("{}") {
        return Type::Map(Box::new(parse_type(value)));
    }
    if let Some(item) = text.strip_prefix('%') {
        return Type::WrappedList(Box::new(parse_type(item)));
    }
    match text {
        "string" => Type::String,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "quantity" => Type::Quantity,
        "intorstring" => Type::IntOrString,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "schema-or-bool" => Type::SchemaOrBool,
        "schema-or-array" => Type::SchemaOrArray,
        "schema-or-strings" => Type::SchemaOrStrings,
        // A name that the table lacks keeps its content, as `raw` does.
        other => other.strip_prefix('@').and_then(builtin).map_or(Type::Raw, Type::Object),
    }
}
