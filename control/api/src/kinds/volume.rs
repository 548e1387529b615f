//! `PersistentVolume` and `PersistentVolumeClaim`; pure.

use serde_json::{Value, json};

use super::field_rules::{immutable, one_of};
use super::go_struct::{self, GoValue};
use super::pod_validation::{Errors, items, text, words};
use super::struct_diff::unified;
use crate::field::{FieldError, Path, go_quote};
use crate::meta;
use crate::name;
use crate::quantity::Quantity;
use crate::schema::default::{absent, absent_texts, object, object_at};
use crate::strategy::{Part, Strategy};

mod claim;

pub(super) use claim::PersistentVolumeClaim;

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const RECYCLE_WARNING: &str = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. \
    Instead, the recommended approach is to use dynamic provisioning.";

/// Kinds of volumes in upstream's order: JSON name, Go name.
const SOURCES: [(&str, &str); 22] = [
    ("gcePersistentDisk", "GCEPersistentDisk"),
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("hostPath", "HostPath"),
    ("glusterfs", "Glusterfs"),
    ("nfs", "NFS"),
    ("rbd", "RBD"),
    ("iscsi", "ISCSI"),
    ("flexVolume", "FlexVolume"),
    ("cinder", "Cinder"),
    ("cephfs", "CephFS"),
    ("fc", "FC"),
    ("flocker", "Flocker"),
    ("azureFile", "AzureFile"),
    ("vsphereVolume", "VsphereVolume"),
    ("quobyte", "Quobyte"),
    ("azureDisk", "AzureDisk"),
    ("photonPersistentDisk", "PhotonPersistentDisk"),
    ("portworxVolume", "PortworxVolume"),
    ("scaleIO", "ScaleIO"),
    ("local", "Local"),
    ("storageos", "StorageOS"),
    ("csi", "CSI"),
];

fn quantity(value: &Value) -> Option<Quantity> {
    match value.as_str() {
        Some(text) => Quantity::parse(text).ok(),
        None => Quantity::parse(&value.as_number()?.to_string()).ok(),
    }
}

#[derive(Debug)]
pub(super) struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn defaults(&self, value: &mut Value) {
        let map = meta::as_map_mut(value);
        let spec = object(map, "spec");
        absent_texts(spec, &[("persistentVolumeReclaimPolicy", "Retain")]);
        absent(spec, "volumeMode", "Filesystem");
        object_at(spec, "hostPath", |path| absent(path, "type", ""));
        absent_texts(object(map, "status"), &[("phase", "Pending")]);
    }

    fn prepare_for_create(&self, value: &mut Value) {
        let now = value["metadata"]["creationTimestamp"].clone();
        let status = json!({"phase": "Pending", "lastPhaseTransitionTime": now});
        meta::as_map_mut(value).insert("status".to_owned(), status);
    }

    fn has_status(&self) -> bool {
        true
    }

    fn validate_name(&self, value: &str, prefix: bool) -> Vec<String> {
        name::dns_subdomain(value, prefix)
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&value["spec"], Path::new("spec"));
        access_modes(spec, &path, "", &mut errors);
        capacity(&spec["capacity"], &path.child("capacity"), &mut errors);
        one_of(spec, "persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"], true, &path, &mut errors);
        source(spec, &path, &mut errors);
        if let Some(class) = text(spec, "storageClassName").filter(|class| !class.is_empty()) {
            words(&path.child("storageClassName"), class, name::dns_subdomain(class, false), &mut errors);
        }
        one_of(spec, "volumeMode", &["Block", "Filesystem"], true, &path, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        if part == Part::Status {
            return Vec::new();
        }
        let mut errors = self.validate_create(new);
        let (now, before) = (shown_source(&new["spec"]), shown_source(&old["spec"]));
        if now != before {
            let detail = format!("spec.persistentvolumesource is immutable after creation\n{}", unified(&before, &now));
            errors.push(FieldError::forbidden(&Path::new("spec").child("persistentvolumesource"), detail));
        }
        let path = Path::new("spec").child("volumeMode");
        immutable(&new["spec"]["volumeMode"], &old["spec"]["volumeMode"], &path, &mut errors);
        errors
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let recycles = text(&new["spec"], "persistentVolumeReclaimPolicy") == Some("Recycle");
        if recycles { vec![RECYCLE_WARNING.to_owned()] } else { Vec::new() }
    }
}

/// Modes that must be given and be known; `detail` says more when there are none.
fn access_modes(spec: &Value, path: &Path, detail: &str, errors: &mut Errors) {
    let at = path.child("accessModes");
    let modes = items(spec, "accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(&at, detail));
    }
    let known = |mode: &Value| mode.as_str().is_some_and(|mode| MODES.contains(&mode));
    for mode in modes.iter().filter(|mode| !known(mode)) {
        errors.push(FieldError::not_supported(&at, mode, &MODES));
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(FieldError::forbidden(&at, "may not use ReadWriteOncePod with other access modes"));
    }
}

fn capacity(capacity: &Value, path: &Path, errors: &mut Errors) {
    let amounts = capacity.as_object();
    let count = amounts.map_or(0, serde_json::Map::len);
    if count == 0 {
        errors.push(FieldError::required(path, ""));
    }
    if count != 1 || amounts.is_some_and(|amounts| !amounts.contains_key("storage")) {
        errors.push(FieldError::not_supported(path, capacity, &["storage"]));
    }
    for (resource, amount) in amounts.into_iter().flatten() {
        if let Some(amount) = quantity(amount).filter(|amount| amount.signum() <= 0) {
            let shown = go_quote(&amount.to_string());
            errors.push(FieldError::invalid_shown(&path.key(resource), shown, "must be greater than zero"));
        }
    }
}

fn source(spec: &Value, path: &Path, errors: &mut Errors) {
    // HostPath is looked at first, then the others.
    let order = std::iter::once("hostPath").chain(SOURCES.iter().map(|(field, _)| *field).filter(|f| *f != "hostPath"));
    let mut given = order.filter(|field| !spec[*field].is_null());
    match given.next() {
        None => errors.push(FieldError::required(path, "must specify a volume type")),
        Some(first) => by_source(spec, first, path, errors),
    }
    for extra in given {
        errors.push(FieldError::forbidden(&path.child(extra), "may not specify more than 1 volume type"));
    }
    let recycles = text(spec, "persistentVolumeReclaimPolicy") == Some("Recycle");
    if recycles && text(&spec["hostPath"], "path") == Some("/") {
        let at = path.child("persistentVolumeReclaimPolicy");
        errors.push(FieldError::forbidden(&at, "may not be 'recycle' for a hostPath mount of '/'"));
    }
    if !spec["local"].is_null() && spec["nodeAffinity"]["required"].is_null() {
        errors.push(FieldError::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
    }
}

fn by_source(spec: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let (source, at) = (&spec[field], path.child(field));
    let require = |names: &[&str], errors: &mut Errors| {
        for name in names.iter().filter(|name| text(source, name).unwrap_or_default().is_empty()) {
            errors.push(FieldError::required(&at.child(name), ""));
        }
    };
    match field {
        "hostPath" | "local" => {
            require(&["path"], errors);
            let given = text(source, "path").unwrap_or_default();
            if given.split('/').any(|step| step == "..") {
                errors.push(FieldError::invalid_text(&at.child("path"), given, "must not contain '..'"));
            }
        }
        "nfs" => {
            require(&["server", "path"], errors);
            let given = text(source, "path").unwrap_or_default();
            if !given.starts_with('/') && !given.is_empty() && spec["hostPath"].is_null() {
                errors.push(FieldError::invalid_text(&at.child("path"), given, "must be an absolute path"));
            }
        }
        "csi" => require(&["driver", "volumeHandle"], errors),
        _ => {}
    }
}

/// The source as upstream prints its struct.
fn shown_source(spec: &Value) -> GoValue {
    let GoValue::Object(members) = go_struct::of_type("io.k8s.api.core.v1.PersistentVolumeSpec", spec) else {
        return GoValue::Plain(Value::Null);
    };
    GoValue::Object(SOURCES.iter().filter_map(|(_, go)| members.iter().find(|(name, _)| name == go).cloned()).collect())
}
