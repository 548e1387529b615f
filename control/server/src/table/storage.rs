//! Rows of storage and device kinds: volumes, claims, classes, drivers, attachments, devices. From [`super::printer`]. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Row;
use super::age::age_at;
use super::selector_text::NONE;
use crate::json_field::{flag, int_or_text, items, present, text, text_or, texts};

const CREATED: &str = "/metadata/creationTimestamp";
const UNSET: &str = "<unset>";
const BETA_CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

pub(super) fn persistent_volume(object: &Value, now: Timestamp) -> Row {
    let claim = object
        .pointer("/spec/claimRef")
        .map_or_else(String::new, |claim| format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")));
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(quantity(object, "/spec/capacity/storage")),
        json!(access_modes(object, "/spec/accessModes")),
        json!(text(object, "/spec/persistentVolumeReclaimPolicy")),
        json!(phase(object)),
        json!(claim),
        json!(class(object)),
        json!(text_or(object, "/spec/volumeAttributesClassName", UNSET)),
        json!(text(object, "/status/reason")),
        json!(age_at(object, CREATED, now)),
        json!(text_or(object, "/spec/volumeMode", UNSET)),
    ])
}

pub(super) fn persistent_volume_claim(object: &Value, now: Timestamp) -> Row {
    let volume = text(object, "/spec/volumeName");
    let (capacity, modes) = if volume.is_empty() {
        (String::new(), String::new())
    } else {
        (quantity(object, "/status/capacity/storage"), access_modes(object, "/status/accessModes"))
    };
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(phase(object)),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class(object)),
        json!(text_or(object, "/spec/volumeAttributesClassName", UNSET)),
        json!(age_at(object, CREATED, now)),
        json!(text_or(object, "/spec/volumeMode", UNSET)),
    ])
}

fn phase(object: &Value) -> &str {
    if present(object, "/metadata/deletionTimestamp") { "Terminating" } else { text(object, "/status/phase") }
}

fn class(object: &Value) -> &str {
    text_or(object, BETA_CLASS, text(object, "/spec/storageClassName"))
}

fn quantity(object: &Value, pointer: &str) -> String {
    int_or_text(object, pointer).unwrap_or_else(|| "0".to_owned())
}

/// Access modes in their short forms, in a fixed order, each once.
fn access_modes(object: &Value, pointer: &str) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let modes = texts(object, pointer);
    let shown: Vec<&str> = SHORT.iter().filter(|(long, _)| modes.contains(long)).map(|(_, short)| *short).collect();
    shown.join(",")
}

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Row {
    const DEFAULT: [&str; 2] = [
        "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
        "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
    ];
    let mut name = text(object, "/metadata/name").to_owned();
    if DEFAULT.iter().any(|pointer| text(object, pointer) == "true") {
        name.push_str(" (default)");
    }
    Row::of(vec![
        json!(name),
        json!(text(object, "/provisioner")),
        json!(text_or(object, "/reclaimPolicy", "Delete")),
        json!(text_or(object, "/volumeBindingMode", "Immediate")),
        json!(flag(object, "/allowVolumeExpansion").unwrap_or(false)),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Row {
    let spec = |field: &str, missing| flag(object, &format!("/spec/{field}")).unwrap_or(missing);
    let audiences = if present(object, "/spec/tokenRequests") {
        let audiences: Vec<&str> =
            items(object, "/spec/tokenRequests").iter().map(|request| text(request, "/audience")).collect();
        audiences.join(",")
    } else {
        UNSET.to_owned()
    };
    let modes = texts(object, "/spec/volumeLifecycleModes").join(",");
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(spec("attachRequired", true)),
        json!(spec("podInfoOnMount", false)),
        json!(spec("storageCapacity", false)),
        json!(audiences),
        json!(spec("requiresRepublish", false)),
        json!(if modes.is_empty() { NONE } else { &modes }),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn csi_node(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(items(object, "/spec/drivers").len()),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn volume_attachment(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/attacher")),
        json!(text(object, "/spec/source/persistentVolumeName")),
        json!(text(object, "/spec/nodeName")),
        json!(flag(object, "/status/attached").unwrap_or(false)),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn volume_attributes_class(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/driverName")),
        json!(age_at(object, CREATED, now)),
    ])
}

/// Name and age: device classes and claim templates show nothing else.
pub(super) fn name_and_age(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![json!(text(object, "/metadata/name")), json!(age_at(object, CREATED, now))])
}

pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Row {
    let deleted = present(object, "/metadata/deletionTimestamp");
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    if present(object, "/status/allocation") {
        states.push("allocated");
        if !items(object, "/status/reservedFor").is_empty() {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    Row::of(vec![json!(text(object, "/metadata/name")), json!(states.join(",")), json!(age_at(object, CREATED, now))])
}

pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/nodeName")),
        json!(text(object, "/spec/driver")),
        json!(text(object, "/spec/pool/name")),
        json!(age_at(object, CREATED, now)),
    ])
}
