//! Defaults of pod specs, alone and in templates; used by Pod and by every kind with a template; pure.

use serde_json::{Map, Value, json};

use crate::meta;
use crate::schema::default::{absent, absent_numbers, absent_texts, each, object, object_at};

type Object = Map<String, Value>;

/// Mode 0644 in decimal, the default of files in volumes.
const FILE_MODE: i64 = 0o644;

/// Defaults of a template's pod spec at `template.spec` inside `owner`.
pub(super) fn template(owner: &mut Object) {
    object_at(owner, "template", |template| object_at(template, "spec", pod_spec));
}

/// Defaults that pods and templates share.
pub(super) fn pod_spec(spec: &mut Object) {
    absent_texts(
        spec,
        &[("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")],
    );
    absent(spec, "securityContext", json!({}));
    absent(spec, "terminationGracePeriodSeconds", 30);
    service_account(spec);
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, list, container);
    }
    each(spec, "volumes", volume);
}

/// `serviceAccount` is an old name of `serviceAccountName`; both show the same.
fn service_account(spec: &mut Object) {
    let text = |spec: &Object, field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text(spec, "serviceAccountName");
    let name = if name.is_empty() { text(spec, "serviceAccount") } else { name };
    for field in ["serviceAccountName", "serviceAccount"] {
        if name.is_empty() {
            spec.remove(field);
        } else {
            spec.insert(field.to_owned(), Value::String(name.clone()));
        }
    }
}

/// Defaults of a pod's own spec, which templates do not get.
pub(super) fn own_pod_spec(spec: &mut Object) {
    absent(spec, "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        each(spec, list, |container| {
            object_at(container, "resources", requests_from_limits);
            if host_network {
                each(container, "ports", |port| {
                    let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
                    absent_numbers(port, &[("hostPort", number)]);
                });
            }
        });
    }
}

/// What is limited but not requested is requested at its limit.
fn requests_from_limits(resources: &mut Object) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let requests = object(resources, "requests");
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn container(container: &mut Object) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    absent_texts(
        container,
        &[
            ("imagePullPolicy", policy),
            ("terminationMessagePath", "/dev/termination-log"),
            ("terminationMessagePolicy", "File"),
        ],
    );
    each(container, "ports", |port| absent_texts(port, &[("protocol", "TCP")]));
    each(container, "env", |variable| {
        object_at(variable, "valueFrom", |from| object_at(from, "fieldRef", field_reference))
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        object_at(container, name, |probe| {
            absent_numbers(
                probe,
                &[("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)],
            );
            object_at(probe, "httpGet", http_get);
            object_at(probe, "grpc", |grpc| absent(grpc, "service", ""));
        });
    }
    object_at(container, "lifecycle", |lifecycle| {
        for hook in ["postStart", "preStop"] {
            object_at(lifecycle, hook, |handler| object_at(handler, "httpGet", http_get));
        }
    });
}

fn http_get(action: &mut Object) {
    absent_texts(action, &[("path", "/"), ("scheme", "HTTP")]);
}

fn field_reference(reference: &mut Object) {
    absent_texts(reference, &[("apiVersion", "v1")]);
}

/// Images without tag, or with the tag `latest`, are pulled always; a digest counts as a tag of its own.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once('@').map_or(name, |(n, _)| n).split_once(':') {
        Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
        None if name.contains('@') => "IfNotPresent",
        None => "Always",
    }
}

fn volume(volume: &mut Object) {
    if volume.iter().all(|(key, value)| key == "name" || value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap"] {
        object_at(volume, source, |s| absent(s, "defaultMode", FILE_MODE));
    }
    object_at(volume, "downwardAPI", downward);
    object_at(volume, "projected", |projected| {
        absent(projected, "defaultMode", FILE_MODE);
        each(projected, "sources", |source| {
            object_at(source, "serviceAccountToken", |token| absent(token, "expirationSeconds", 3600));
            object_at(source, "downwardAPI", |api| {
                each(api, "items", |item| object_at(item, "fieldRef", field_reference))
            });
        });
    });
    object_at(volume, "hostPath", |path| absent(path, "type", ""));
    object_at(volume, "image", |image| {
        let policy = pull_policy(image.get("reference").and_then(Value::as_str).unwrap_or_default());
        absent_texts(image, &[("pullPolicy", policy)]);
    });
    object_at(volume, "ephemeral", |ephemeral| {
        object_at(ephemeral, "volumeClaimTemplate", |claim| {
            let spec = meta::as_map_mut(claim.entry("spec").or_insert(Value::Null));
            absent(spec, "volumeMode", "Filesystem");
        });
    });
    block_devices(volume);
}

/// Old in-tree volume sources, which also stand in persistent volumes.
pub(super) fn block_devices(source: &mut Object) {
    object_at(source, "iscsi", |s| absent_texts(s, &[("iscsiInterface", "default")]));
    object_at(source, "rbd", |s| {
        absent_texts(s, &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")])
    });
    object_at(source, "azureDisk", |s| {
        for (field, value) in [("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")] {
            absent(s, field, value);
        }
        absent(s, "readOnly", false);
    });
    object_at(source, "scaleIO", |s| absent_texts(s, &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]));
}

fn downward(source: &mut Object) {
    absent(source, "defaultMode", FILE_MODE);
    each(source, "items", |item| object_at(item, "fieldRef", field_reference));
}
