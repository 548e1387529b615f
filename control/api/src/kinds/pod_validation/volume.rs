//! Volumes: one source each, and that source's rules. From [`super::pod_spec`]; pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::container::{FILE_FIELDS, field_reference, resource_reference};
use super::{Errors, descending, integer, items, text, words};
use crate::field::{FieldError, Path};
use crate::name;

/// Checks the list and returns the names that mounts may use.
pub(super) fn volumes(volumes: &[Value], path: &Path, errors: &mut Errors) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let at = path.index(index);
        source(volume, &at, errors);
        match text(volume, "name").unwrap_or_default() {
            "" => errors.push(FieldError::required(&at.child("name"), "")),
            name => {
                let broken = name::dns_label(name, false);
                let good = broken.is_empty();
                words(&at.child("name"), name, broken, errors);
                if !names.insert(name.to_owned()) {
                    errors.push(FieldError::duplicate(&at.child("name"), &volume["name"]));
                } else if !good {
                    names.remove(name);
                }
            }
        }
    }
    names
}

/// The order in which upstream looks at sources: the first one given counts, the others are too many.
const ORDER: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

fn source(volume: &Value, path: &Path, errors: &mut Errors) {
    let mut given = 0;
    let mut sources: Vec<(&String, &Value)> =
        volume.as_object().into_iter().flatten().filter(|(key, value)| *key != "name" && !value.is_null()).collect();
    sources.sort_by_key(|(kind, _)| ORDER.iter().position(|o| o == kind));
    for (kind, source) in sources {
        given += 1;
        let at = path.child(kind);
        if given > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        match kind.as_str() {
            "hostPath" => host_path(source, &at, errors),
            "configMap" => keyed(source, "name", &at, errors),
            "secret" => keyed(source, "secretName", &at, errors),
            "downwardAPI" => downward(source, &at, errors),
            "projected" => projected(source, &at, errors),
            "persistentVolumeClaim" => required(source, "claimName", &at, errors),
            "nfs" => {
                required(source, "server", &at, errors);
                required(source, "path", &at, errors);
            }
            "csi" => required(source, "driver", &at, errors),
            "emptyDir" => {
                let limit = text(source, "sizeLimit").unwrap_or_default();
                if limit.starts_with('-') {
                    errors.push(FieldError::forbidden(
                        &at.child("sizeLimit"),
                        "SizeLimit field must be a valid resource quantity",
                    ));
                }
            }
            _ => {}
        }
    }
    if given == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn required(source: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if text(source, field).is_none_or(str::is_empty) {
        errors.push(FieldError::required(&path.child(field), ""));
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    match text(source, "path").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("path"), "")),
        file if file.split('/').any(|part| part == "..") => {
            errors.push(FieldError::invalid_text(&path.child("path"), file, "must not contain '..'"));
        }
        _ => {}
    }
    let kinds = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    super::one_of(source, "type", &kinds, path, errors);
}

/// ConfigMap and Secret volumes.
fn keyed(source: &Value, name_field: &str, path: &Path, errors: &mut Errors) {
    required(source, name_field, path, errors);
    mode(source, "defaultMode", path, errors);
    keys(source, path, errors);
}

fn keys(source: &Value, path: &Path, errors: &mut Errors) {
    for (index, item) in items(source, "items").iter().enumerate() {
        let at = path.child("items").index(index);
        required(item, "key", &at, errors);
        file_path(item, &at, errors);
        mode(item, "mode", &at, errors);
    }
}

fn file_path(item: &Value, path: &Path, errors: &mut Errors) {
    match text(item, "path").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("path"), "")),
        file => {
            descending(file, &path.child("path"), errors);
            if file.starts_with("..") && !file.starts_with("../") && file != ".." {
                errors.push(FieldError::invalid_text(&path.child("path"), file, "must not start with '..'"));
            }
        }
    }
}

fn mode(source: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(mode) = integer(source, field).filter(|m| !(0..=0o777).contains(m)) {
        errors.push(FieldError::invalid_number(
            &path.child(field),
            mode,
            "must be a number between 0 and 0777 (octal), both inclusive",
        ));
    }
}

fn downward(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    for (index, item) in items(source, "items").iter().enumerate() {
        let at = path.child("items").index(index);
        file_path(item, &at, errors);
        mode(item, "mode", &at, errors);
        match (item["fieldRef"].is_null(), item["resourceFieldRef"].is_null()) {
            (true, true) => errors.push(FieldError::required(&at, "one of fieldRef and resourceFieldRef is required")),
            (false, false) => errors.push(FieldError::invalid(
                &at,
                item,
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            )),
            _ => {
                field_reference(&item["fieldRef"], FILE_FIELDS, &at.child("fieldRef"), errors);
                resource_reference(&item["resourceFieldRef"], &at.child("resourceFieldRef"), errors);
            }
        }
    }
}

fn projected(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    for (index, part) in items(source, "sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        let mut given = 0;
        for (kind, content) in part.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            given += 1;
            let at = at.child(kind);
            if given > 1 {
                errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source"));
                continue;
            }
            match kind.as_str() {
                "configMap" | "secret" => {
                    required(content, "name", &at, errors);
                    keys(content, &at, errors);
                }
                "downwardAPI" => downward(content, &at, errors),
                "serviceAccountToken" => {
                    if let Some(seconds) = integer(content, "expirationSeconds") {
                        let at = at.child("expirationSeconds");
                        if seconds < 600 {
                            errors.push(FieldError::invalid_number(
                                &at,
                                seconds,
                                "may not specify a duration less than 10 minutes",
                            ));
                        } else if seconds > 1 << 32 {
                            errors.push(FieldError::invalid_number(
                                &at,
                                seconds,
                                "may not specify a duration larger than 2^32 seconds",
                            ));
                        }
                    }
                    required(content, "path", &at, errors);
                }
                _ => {}
            }
        }
        if given == 0 {
            errors.push(FieldError::required(&at, "must specify at least one source"));
        }
    }
}
