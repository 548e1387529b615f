//! `StorageClass`, `CSIDriver`, `CSINode`, `VolumeAttachment`, `VolumeAttributesClass` and `CSIStorageCapacity`; pure.

use serde_json::{Value, json};

use super::field_rules::{IMMUTABLE, NEGATIVE, immutable, one_of, required};
use super::pod_validation::{Errors, items, label_selector, text, words};
use crate::field::{FieldError, Path, go_quote, show};
use crate::meta;
use crate::name;
use crate::quantity::Quantity;
use crate::schema::default::{absent, object};
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct StorageClass;

impl Strategy for StorageClass {
    fn defaults(&self, value: &mut Value) {
        let map = meta::as_map_mut(value);
        absent(map, "reclaimPolicy", "Delete");
        absent(map, "volumeBindingMode", "Immediate");
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::root();
        if required(value, "provisioner", &path, &mut errors) {
            let provisioner = text(value, "provisioner").unwrap_or_default();
            let broken = name::qualified_name(&provisioner.to_lowercase());
            words(&path.child("provisioner"), provisioner, broken, &mut errors);
        }
        one_of(value, "reclaimPolicy", &["Delete", "Retain"], true, &path, &mut errors);
        let modes = &["Immediate", "WaitForFirstConsumer"];
        one_of(value, "volumeBindingMode", modes, false, &path, &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if new[field] != old[field] {
                errors.push(FieldError::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")));
            }
        }
        immutable(&new["volumeBindingMode"], &old["volumeBindingMode"], &Path::new("volumeBindingMode"), &mut errors);
        errors
    }
}

#[derive(Debug)]
pub(super) struct CsiDriver;

impl Strategy for CsiDriver {
    fn defaults(&self, value: &mut Value) {
        let spec = object(meta::as_map_mut(value), "spec");
        absent(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"] {
            absent(spec, field, false);
        }
        absent(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            spec.insert("volumeLifecycleModes".to_owned(), json!(["Persistent"]));
        }
    }

    /// The generation is counted from 0, and only fields that may change count.
    fn prepare_for_update(&self, _part: Part<'_>, new: &mut Value, old: &Value) {
        const COUNTED: [&str; 4] = ["tokenRequests", "requiresRepublish", "podInfoOnMount", "storageCapacity"];
        let changed = COUNTED.iter().any(|field| new["spec"][*field] != old["spec"][*field])
            || ["seLinuxMount", "fsGroupPolicy"].iter().any(|field| new["spec"][*field] != old["spec"][*field]);
        let generation = meta::generation(old) + i64::from(changed);
        if generation > 0 {
            meta::metadata_mut(new).insert("generation".to_owned(), json!(generation));
        }
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&value["spec"], Path::new("spec"));
        let at = path.child("volumeLifecycleModes");
        for mode in items(spec, "volumeLifecycleModes") {
            if !matches!(mode.as_str(), Some("Persistent" | "Ephemeral")) {
                errors.push(FieldError::not_supported(&at, mode, &["Persistent", "Ephemeral"]));
            }
        }
        let policies = &["ReadWriteOnceWithFSType", "File", "None"];
        one_of(spec, "fsGroupPolicy", policies, true, &path, &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        let path = Path::new("spec");
        for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            immutable(&new["spec"][field], &old["spec"][field], &path.child(shown), &mut errors);
        }
        errors
    }
}

#[derive(Debug)]
pub(super) struct CsiNode;

impl Strategy for CsiNode {
    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for (index, driver) in items(&value["spec"], "drivers").iter().enumerate() {
            let path = Path::new("spec").child("drivers").index(index);
            driver_name(text(driver, "name").unwrap_or_default(), &path.child("name"), &mut errors);
            required(driver, "nodeID", &path, &mut errors);
        }
        errors
    }
}

/// A driver's name: given, at most 63 bytes, a DNS subdomain whatever the case.
fn driver_name(driver: &str, path: &Path, errors: &mut Errors) {
    if driver.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if driver.len() > 63 {
        errors.push(FieldError::too_long(path, 63));
    }
    words(path, driver, name::dns_subdomain(&driver.to_lowercase(), false), errors);
}

#[derive(Debug)]
pub(super) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn has_status(&self) -> bool {
        true
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&value["spec"], Path::new("spec"));
        let attacher = text(spec, "attacher").unwrap_or_default();
        if attacher.is_empty() {
            errors.push(FieldError::required(&path.child("attacher"), ""));
        }
        driver_name(attacher, &path.child("attacher"), &mut errors);
        let source = &spec["source"];
        let volume = text(source, "persistentVolumeName").unwrap_or_default();
        let at = path.child("source");
        match (source["inlineVolumeSpec"].is_null(), source["persistentVolumeName"].is_null()) {
            (true, true) => {
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.push(FieldError::required(&at, detail));
            }
            (false, false) => {
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.push(FieldError::forbidden(&at, detail));
            }
            (true, false) if volume.is_empty() => {
                let detail = "must specify non empty persistentVolumeName";
                errors.push(FieldError::required(&at.child("persistentVolumeName"), detail));
            }
            (true | false, _) => {}
        }
        let node = text(spec, "nodeName").unwrap_or_default();
        words(&path.child("nodeName"), node, name::dns_subdomain(node, false), &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = &new["spec"];
        if part != Part::Status && *spec != old["spec"] {
            let of = |value: &Value| show(&json!(value.as_str().unwrap_or_default()));
            let source = &spec["source"];
            // As upstream prints its own struct.
            let shown = format!(
                "{{\"Attacher\":{},\"Source\":{{\"PersistentVolumeName\":{},\"InlineVolumeSpec\":{}}},\"NodeName\":{}}}",
                of(&spec["attacher"]),
                show(&source["persistentVolumeName"]),
                show(&source["inlineVolumeSpec"]),
                of(&spec["nodeName"])
            );
            errors.push(FieldError::invalid_shown(&Path::new("spec"), shown, IMMUTABLE));
        }
        errors
    }
}

#[derive(Debug)]
pub(super) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        required(value, "driverName", &Path::root(), &mut errors);
        if value["parameters"].as_object().is_none_or(serde_json::Map::is_empty) {
            errors.push(FieldError::required(&Path::new("parameters"), "must contain at least one key/value pair"));
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for field in ["driverName", "parameters"] {
            if new[field] != old[field] {
                errors.push(FieldError::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")));
            }
        }
        errors
    }
}

#[derive(Debug)]
pub(super) struct CsiStorageCapacity;

impl Strategy for CsiStorageCapacity {
    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let class = text(value, "storageClassName").unwrap_or_default();
        words(&Path::new("storageClassName"), class, name::dns_subdomain(class, false), &mut errors);
        label_selector(&value["nodeTopology"], &Path::new("nodeTopology"), &mut errors);
        for field in ["capacity", "maximumVolumeSize"] {
            let amount = value[field].as_str().and_then(|text| Quantity::parse(text).ok());
            if let Some(amount) = amount.filter(|amount| amount.signum() < 0) {
                let shown = go_quote(&amount.to_string());
                errors.push(FieldError::invalid_shown(&Path::new(field), shown, NEGATIVE));
            }
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        for field in ["nodeTopology", "storageClassName"] {
            immutable(&new[field], &old[field], &Path::new(field), &mut errors);
        }
        errors
    }
}
