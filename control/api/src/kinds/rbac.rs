//! Role, `ClusterRole` and their bindings: defaults and names; pure.

use serde_json::Value;

use crate::meta;
use crate::name;
use crate::schema::default::{absent_texts, each, object_at};
use crate::strategy::Strategy;

const GROUP: &str = "rbac.authorization.k8s.io";

/// All four kinds: names are path segments, references name their group.
#[derive(Debug)]
pub(super) struct Rbac;

impl Strategy for Rbac {
    fn defaults(&self, object: &mut Value) {
        let map = meta::as_map_mut(object);
        object_at(map, "roleRef", |role| absent_texts(role, &[("apiGroup", GROUP)]));
        each(map, "subjects", |subject| {
            if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
                absent_texts(subject, &[("apiGroup", GROUP)]);
            }
        });
    }

    fn validate_name(&self, value: &str, prefix: bool) -> Vec<String> {
        name::path_segment(value, prefix)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}
