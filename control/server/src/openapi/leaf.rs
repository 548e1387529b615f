//! Types without fields of their own that documents name: quantities, moments, raw values. From [`super::definitions`]. Pure.

use serde_json::{Value, json};

use super::Flavour;

pub(super) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
pub(super) const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
pub(super) const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
pub(super) const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
pub(super) const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
pub(super) const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// A type of custom resource definitions that stands for several forms of JSON.
pub(super) fn extension(name: &str) -> String {
    format!("{EXTENSIONS}{name}")
}

/// The schema of one of these types; none for types with fields.
pub(super) fn schema(name: &str, flavour: Flavour) -> Option<Value> {
    let schema = match name {
        QUANTITY if flavour == Flavour::V3 => json!({
            "description": "Quantity is a fixed-point number: digits with an optional suffix, such as 100m, 2Gi or 1e3.",
            "oneOf": [{"type": "string"}, {"type": "number"}],
        }),
        QUANTITY => json!({
            "description": "Quantity is a fixed-point number: digits with an optional suffix, such as 100m, 2Gi or 1e3.",
            "type": "string",
        }),
        INT_OR_STRING => {
            let description = "IntOrString is a type that can hold an int32 or a string.  When used in JSON or YAML marshalling and \
                unmarshalling, it produces or consumes the inner type.  This allows you to have, for example, a JSON field that can \
                accept a name or number.";
            match flavour {
                Flavour::V2 => json!({"description": description, "type": "string", "format": "int-or-string"}),
                Flavour::V3 => json!({
                    "description": description, "format": "int-or-string",
                    "oneOf": [{"type": "integer"}, {"type": "string"}],
                }),
            }
        }
        TIME => {
            json!({"description": "Time is a moment in RFC 3339 with seconds.", "type": "string", "format": "date-time"})
        }
        MICRO_TIME => {
            json!({"description": "MicroTime is a moment in RFC 3339 with microseconds.", "type": "string", "format": "date-time"})
        }
        RAW => json!({"description": "RawExtension holds any object.", "type": "object"}),
        FIELDS => json!({"description": "FieldsV1 is a set of fields as nested keys.", "type": "object"}),
        PATCH => json!({"description": "Patch describes how an object is to change.", "type": "object"}),
        _ => match name.strip_prefix(EXTENSIONS)? {
            "JSON" => json!({"description": "JSON is any valid JSON value."}),
            "JSONSchemaPropsOrBool" => json!({"description": "A schema or a boolean."}),
            "JSONSchemaPropsOrArray" => json!({"description": "A schema or a list of schemas."}),
            "JSONSchemaPropsOrStringArray" => json!({"description": "A schema or a list of strings."}),
            _ => return None,
        },
    };
    Some(schema)
}
