//! Namespace; pure.

use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::{absent, absent_texts};
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct Namespace;

impl Strategy for Namespace {
    fn defaults(&self, object: &mut Value) {
        // The label names the namespace, so that selectors can.
        let name = meta::name(object).to_owned();
        if !name.is_empty() {
            let labels = meta::as_map_mut(meta::metadata_mut(object).entry("labels").or_insert(Value::Null));
            absent(labels, "kubernetes.io/metadata.name", name);
        }
        absent_texts(meta::map_mut(object, "status"), &[("phase", "Active")]);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        meta::as_map_mut(object).insert("status".to_owned(), json!({"phase": "Active"}));
        let spec = meta::map_mut(object, "spec");
        let list = spec.entry("finalizers").or_insert_with(|| json!([]));
        if let Value::Array(items) = list
            && !items.iter().any(|f| f == "kubernetes")
        {
            items.push(json!("kubernetes"));
        }
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        // Only the subresource `finalize` changes the finalizers of the spec, and it changes nothing of the status.
        if part == Part::Whole {
            let spec = old.get("spec").cloned().unwrap_or_else(|| json!({}));
            meta::as_map_mut(new).insert("spec".to_owned(), spec);
        }
        if part == Part::Other("finalize") {
            let status = old.get("status").cloned().unwrap_or_else(|| json!({}));
            meta::as_map_mut(new).insert("status".to_owned(), status);
        }
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        let phase = new["status"]["phase"].as_str().unwrap_or_default();
        if part != Part::Status {
            return Vec::new();
        }
        let ends = meta::deletion_timestamp(new).is_some();
        let (wanted, words) = if ends {
            ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
        } else {
            ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
        };
        if phase == wanted {
            return Vec::new();
        }
        vec![FieldError::invalid_text(&Path::new("status").child("Phase"), phase, words)]
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &["status.phase"]
    }

    fn validate_name(&self, value: &str, prefix: bool) -> Vec<String> {
        name::dns_label(value, prefix)
    }

    fn has_status(&self) -> bool {
        true
    }
}
