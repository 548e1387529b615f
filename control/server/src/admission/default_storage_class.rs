//! `DefaultStorageClass`: claims that name no class get the cluster's default. Pure over the lister.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Attributes, Lister, Operation};
use crate::json_field::{present, set, text};

const CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";
const DEFAULT: [&str; 2] = [
    "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
    "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
];

pub(super) fn mutate(lister: &dyn Lister, attributes: &Attributes<'_>, claim: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.is("", "persistentvolumeclaims") {
        return;
    }
    if present(claim, CLASS) || present(claim, "/spec/storageClassName") {
        return;
    }
    let classes = lister.list("storage.k8s.io", "storageclasses", "");
    if let Some(name) = newest_with(&classes, &DEFAULT) {
        set(claim, "/spec", "storageClassName", json!(name));
    }
}

/// Name of the youngest object (of equals the first by name) that has one of the annotations set to true.
pub(super) fn newest_with<'a>(objects: &'a [Arc<Value>], annotations: &[&str]) -> Option<&'a str> {
    objects
        .iter()
        .filter(|object| annotations.iter().any(|annotation| text(object, annotation) == "true"))
        .map(|object| (text(object, "/metadata/creationTimestamp"), text(object, "/metadata/name")))
        .max_by(|(a, a_name), (b, b_name)| a.cmp(b).then(b_name.cmp(a_name)))
        .map(|(_, name)| name)
}
