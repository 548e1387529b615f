//! What a value must be, and how Go names that type in messages; used by [`super::reader`]; pure.

use std::borrow::Cow;

use crate::schema::{ObjectType, Type};

/// What a value must be.
#[derive(Clone, Copy)]
pub(super) enum Expected<'a> {
    Object(&'a ObjectType),
    Value(&'a Type),
    /// Anything; nulls stay.
    Any,
}

impl Expected<'_> {
    /// The Go type that stands in messages.
    pub(super) fn go_type(&self) -> Cow<'static, str> {
        match self {
            Self::Object(object) => go_object(object).into(),
            Self::Value(ty) => go_type(ty),
            Self::Any => "interface {}".into(),
        }
    }
}

fn go_object(object: &ObjectType) -> String {
    let mut parts = object.name.rsplit('.');
    let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{version}.{name}")
}

fn go_type(ty: &Type) -> Cow<'static, str> {
    match ty {
        Type::String | Type::Time | Type::MicroTime => "string".into(),
        Type::Int32 | Type::IntOrString => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Double => "float64".into(),
        Type::Bool => "bool".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::Raw => "interface {}".into(),
        Type::Object(object) => go_object(object.get()).into(),
        Type::Map(value) => format!("map[string]{}", go_type(value)).into(),
        Type::List(item) | Type::WrappedList(item) => format!("[]{}", go_type(item)).into(),
        Type::SchemaOrBool => "v1.JSONSchemaPropsOrBool".into(),
        Type::SchemaOrArray => "v1.JSONSchemaPropsOrArray".into(),
        Type::SchemaOrStrings => "v1.JSONSchemaPropsOrStringArray".into(),
    }
}
