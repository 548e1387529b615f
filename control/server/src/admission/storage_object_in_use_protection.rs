//! `StorageObjectInUseProtection`: volumes, claims and attributes classes get the finalizer that keeps them while they are used. Pure.

use serde_json::{Value, json};

use super::{Attributes, Operation};
use crate::json_field::{list_mut, texts};

pub(super) fn mutate(attributes: &Attributes<'_>, object: &mut Value) {
    if attributes.operation != Operation::Create {
        return;
    }
    let finalizer = if attributes.is("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else if attributes.is("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else if attributes.is("storage.k8s.io", "volumeattributesclasses") {
        "kubernetes.io/vac-protection"
    } else {
        return;
    };
    if texts(object, "/metadata/finalizers").contains(&finalizer) {
        return;
    }
    if let Some(finalizers) = object.get_mut("metadata").and_then(|metadata| list_mut(metadata, "finalizers")) {
        finalizers.push(json!(finalizer));
    }
}
