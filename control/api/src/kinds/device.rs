//! `DeviceClass`, `ResourceClaim`, `ResourceClaimTemplate` and `ResourceSlice`: defaults, and what stays as it was made; pure.

use serde_json::{Map, Value};

use super::field_rules::{IMMUTABLE, immutable, required};
use super::go_struct;
use super::pod_validation::Errors;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::schema::default::{absent, absent_numbers, each, object_at};
use crate::strategy::{Part, Strategy};

/// Requests ask for one device unless they say otherwise.
fn requests(spec: &mut Map<String, Value>) {
    object_at(spec, "devices", |devices| {
        each(devices, "requests", |request| {
            object_at(request, "exactly", count);
            each(request, "firstAvailable", count);
        });
    });
}

fn count(request: &mut Map<String, Value>) {
    absent(request, "allocationMode", "ExactCount");
    if request.get("allocationMode").and_then(Value::as_str) == Some("ExactCount") {
        absent_numbers(request, &[("count", 1)]);
    }
}

#[derive(Debug)]
pub(super) struct DeviceClass;

impl Strategy for DeviceClass {
    fn has_generation(&self) -> bool {
        true
    }
}

#[derive(Debug)]
pub(super) struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn defaults(&self, object: &mut Value) {
        object_at(meta::as_map_mut(object), "spec", requests);
    }

    fn has_status(&self) -> bool {
        true
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if part == Part::Whole {
            spec_stays("io.k8s.api.resource.v1.ResourceClaimSpec", new, old, &mut errors);
        }
        errors
    }
}

#[derive(Debug)]
pub(super) struct ResourceClaimTemplate;

impl Strategy for ResourceClaimTemplate {
    fn defaults(&self, object: &mut Value) {
        object_at(meta::as_map_mut(object), "spec", |spec| object_at(spec, "spec", requests));
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec_stays("io.k8s.api.resource.v1.ResourceClaimTemplateSpec", new, old, &mut errors);
        errors
    }
}

#[derive(Debug)]
pub(super) struct ResourceSlice;

impl Strategy for ResourceSlice {
    fn has_generation(&self) -> bool {
        true
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &["spec.driver", "spec.nodeName"]
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        required(spec, "driver", &path, &mut errors);
        required(&spec["pool"], "name", &path.child("pool"), &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        let path = Path::new("spec");
        for field in ["driver", "nodeName"] {
            immutable(&new["spec"][field], &old["spec"][field], &path.child(field), &mut errors);
        }
        let name = path.child("pool").child("name");
        immutable(&new["spec"]["pool"]["name"], &old["spec"]["pool"]["name"], &name, &mut errors);
        errors
    }
}

/// A spec that stays as it was made, quoted as a struct.
fn spec_stays(type_name: &str, new: &Value, old: &Value, errors: &mut Errors) {
    if new["spec"] != old["spec"] {
        let shown = go_struct::of_type(type_name, &new["spec"]).compact();
        errors.push(FieldError::invalid_shown(&Path::new("spec"), shown, IMMUTABLE));
    }
}
