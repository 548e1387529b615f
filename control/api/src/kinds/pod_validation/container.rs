//! Containers of every sort: names, images, ports, environment, mounts, security. From [`super::pod_spec`]; pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Errors, descending, handler, integer, items, one_of, resources, seccomp, text, user_id, words};
use crate::field::{FieldError, Path};
use crate::name;

/// The three lists of a spec. Names are unique over all of them.
pub(super) fn containers(spec: &Value, volumes: &BTreeSet<String>, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    if items(spec, "containers").is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    let mut host_ports = BTreeSet::new();
    for (index, container) in items(spec, "containers").iter().enumerate() {
        let at = path.child("containers").index(index);
        one(container, &at, volumes, &mut names, errors);
        if let Some(policy) = text(container, "restartPolicy") {
            errors.push(FieldError::not_supported(&at.child("restartPolicy"), &Value::from(policy), &[]));
        }
        handler::lifecycle(&container["lifecycle"], &at.child("lifecycle"), errors);
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            handler::probe(&container[probe], probe, &at.child(probe), errors);
        }
        ports(container, &at, &mut host_ports, errors);
    }
    for (index, container) in items(spec, "initContainers").iter().enumerate() {
        let at = path.child("initContainers").index(index);
        one(container, &at, volumes, &mut names, errors);
        let sidecar = text(container, "restartPolicy") == Some("Always");
        one_of(container, "restartPolicy", &["Always"], &at, errors);
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container[field].is_null() {
                continue;
            }
            if !sidecar {
                errors.push(FieldError::forbidden(
                    &at.child(field),
                    "may not be set for init containers without restartPolicy=Always",
                ));
            } else if field == "lifecycle" {
                handler::lifecycle(&container[field], &at.child(field), errors);
            } else {
                handler::probe(&container[field], field, &at.child(field), errors);
            }
        }
        ports(container, &at, &mut BTreeSet::new(), errors);
    }
    for (index, container) in items(spec, "ephemeralContainers").iter().enumerate() {
        let at = path.child("ephemeralContainers").index(index);
        one(container, &at, volumes, &mut names, errors);
        for field in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources"] {
            let value = &container[field];
            if !(value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)) {
                errors.push(FieldError::forbidden(&at.child(field), "cannot be set for an Ephemeral Container"));
            }
        }
    }
}

/// What all sorts share.
fn one(container: &Value, path: &Path, volumes: &BTreeSet<String>, names: &mut BTreeSet<String>, errors: &mut Errors) {
    match text(container, "name").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("name"), "")),
        name => {
            words(&path.child("name"), name, name::dns_label(name, false), errors);
            if !names.insert(name.to_owned()) {
                errors.push(FieldError::duplicate(&path.child("name"), &Value::from(name)));
            }
        }
    }
    match text(container, "image").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("image"), "")),
        image if image.trim() != image => {
            errors.push(FieldError::invalid_text(
                &path.child("image"),
                image,
                "must not have leading or trailing whitespace",
            ));
        }
        _ => {}
    }
    one_of(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    one_of(container, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"], path, errors);
    environment(container, path, errors);
    mounts(container, path, volumes, errors);
    resources::requirements(&container["resources"], &path.child("resources"), errors);
    security(&container["securityContext"], &path.child("securityContext"), errors);
}

fn ports(container: &Value, path: &Path, host_ports: &mut BTreeSet<String>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (index, port) in items(container, "ports").iter().enumerate() {
        let at = path.child("ports").index(index);
        if let Some(name) = text(port, "name").filter(|n| !n.is_empty()) {
            let broken = port_name(name);
            if broken.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), &port["name"]));
            }
            words(&at.child("name"), name, broken, errors);
        }
        match integer(port, "containerPort").unwrap_or(0) {
            0 => errors.push(FieldError::required(&at.child("containerPort"), "")),
            number => port_number(number, &at.child("containerPort"), errors),
        }
        let protocol = text(port, "protocol").unwrap_or_default();
        if let Some(number) = integer(port, "hostPort").filter(|p| *p != 0) {
            port_number(number, &at.child("hostPort"), errors);
            let key = format!("{protocol}/{}/{number}", text(port, "hostIP").unwrap_or_default());
            if !host_ports.insert(key.clone()) {
                errors.push(FieldError::duplicate(&at.child("hostPort"), &Value::from(key)));
            }
        }
        match protocol {
            "" => errors.push(FieldError::required(&at.child("protocol"), "")),
            _ => one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &at, errors),
        }
    }
}

pub(super) fn port_number(number: i64, path: &Path, errors: &mut Errors) {
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid_number(path, number, "must be between 1 and 65535, inclusive"));
    }
}

/// IANA service name.
pub(crate) fn port_name(name: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if name.len() > 15 {
        broken.push("must be no more than 15 characters".to_owned());
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        broken.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        broken.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        broken.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        broken.push("must not begin or end with a hyphen".to_owned());
    }
    broken
}

fn environment(container: &Value, path: &Path, errors: &mut Errors) {
    for (index, variable) in items(container, "env").iter().enumerate() {
        let at = path.child("env").index(index);
        match text(variable, "name").unwrap_or_default() {
            "" => errors.push(FieldError::required(&at.child("name"), "")),
            name => words(&at.child("name"), name, variable_name(name), errors),
        }
        let from = &variable["valueFrom"];
        if from.is_null() {
            continue;
        }
        let at = at.child("valueFrom");
        let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
        let given = sources.iter().filter(|s| !from[**s].is_null()).count();
        if text(variable, "value").is_some_and(|v| !v.is_empty()) {
            if given > 0 {
                errors.push(FieldError::invalid_text(&at, "", "may not be specified when `value` is not empty"));
            }
        } else if given > 1 {
            errors.push(FieldError::invalid_text(&at, "", "may not have more than one field specified at a time"));
        } else if given == 0 {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            errors.push(FieldError::invalid_text(&at, "", detail));
        }
        field_reference(&from["fieldRef"], ENV_FIELDS, &at.child("fieldRef"), errors);
        resource_reference(&from["resourceFieldRef"], &at.child("resourceFieldRef"), errors);
        for source in ["configMapKeyRef", "secretKeyRef"] {
            if !from[source].is_null() {
                match text(&from[source], "key").unwrap_or_default() {
                    "" => errors.push(FieldError::required(&at.child(source).child("key"), "")),
                    key => words(&at.child(source).child("key"), key, name::config_key(key), errors),
                }
            }
        }
    }
    for (index, from) in items(container, "envFrom").iter().enumerate() {
        let at = path.child("envFrom").index(index);
        let sources: Vec<&str> = ["configMapRef", "secretRef"].into_iter().filter(|s| !from[*s].is_null()).collect();
        match sources.as_slice() {
            [] => errors.push(FieldError::invalid_text(&at, "", "must specify one of: `configMapRef` or `secretRef`")),
            [source] => {
                if text(&from[*source], "name").is_none_or(str::is_empty) {
                    errors.push(FieldError::required(&at.child(source).child("name"), ""));
                }
            }
            _ => errors.push(FieldError::invalid_text(&at, "", "may not have more than one field specified at a time")),
        }
    }
}

/// Since v1.34 any printable ASCII but `=` (`RelaxedEnvironmentVariableValidation`).
fn variable_name(name: &str) -> Vec<String> {
    if name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        Vec::new()
    } else {
        vec![
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        ]
    }
}

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// What files of the downward API may show.
pub(super) const FILE_FIELDS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];

/// A field of the pod, as `metadata.labels['key']` or by plain path.
pub(super) fn field_reference(reference: &Value, known: &[&str], path: &Path, errors: &mut Errors) {
    if reference.is_null() {
        return;
    }
    let at = path.child("fieldPath");
    let field = text(reference, "fieldPath").unwrap_or_default();
    if field.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    if let Some((map, key)) = field.strip_suffix("']").and_then(|f| f.split_once("['")) {
        if !["metadata.labels", "metadata.annotations"].contains(&map) {
            errors.push(FieldError::invalid_text(
                &at,
                field,
                format!("error converting fieldPath: field label does not support subscript: {field}"),
            ));
        } else {
            words(&at, key, name::qualified_name(&key.to_lowercase()), errors);
        }
        return;
    }
    const PODS: &[&str] = &[
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.hostIP",
        "status.hostIPs",
        "status.phase",
        "status.podIP",
        "status.podIPs",
    ];
    if !PODS.contains(&field) {
        errors.push(FieldError::invalid_text(
            &at,
            field,
            format!("error converting fieldPath: field label not supported: {field}"),
        ));
    } else if !known.contains(&field) {
        errors.push(FieldError::not_supported(&at, &Value::from(field), known));
    }
}

/// A resource of a container.
pub(super) fn resource_reference(reference: &Value, path: &Path, errors: &mut Errors) {
    if reference.is_null() {
        return;
    }
    const KNOWN: &[&str] = &[
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    match text(reference, "resource").unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("resource"), "")),
        resource
            if !KNOWN.contains(&resource)
                && !["requests.hugepages-", "limits.hugepages-"].iter().any(|p| resource.starts_with(p)) =>
        {
            errors.push(FieldError::not_supported(&path.child("resource"), &reference["resource"], KNOWN));
        }
        _ => {}
    }
}

fn mounts(container: &Value, path: &Path, volumes: &BTreeSet<String>, errors: &mut Errors) {
    let mut points = BTreeSet::new();
    for (index, mount) in items(container, "volumeMounts").iter().enumerate() {
        let at = path.child("volumeMounts").index(index);
        let volume = text(mount, "name").unwrap_or_default();
        if volume.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        if !volumes.contains(volume) {
            errors.push(FieldError::not_found(&at.child("name"), &Value::from(volume)));
        }
        match text(mount, "mountPath").unwrap_or_default() {
            "" => errors.push(FieldError::required(&at.child("mountPath"), "")),
            point if !points.insert(point) => {
                errors.push(FieldError::invalid_text(&at.child("mountPath"), point, "must be unique"));
            }
            _ => {}
        }
        let (plain, expanded) =
            (text(mount, "subPath").filter(|p| !p.is_empty()), text(mount, "subPathExpr").filter(|p| !p.is_empty()));
        if let Some(sub) = plain {
            descending(sub, &at.child("subPath"), errors);
        }
        if let Some(sub) = expanded {
            if plain.is_some() {
                errors.push(FieldError::invalid_text(
                    &at.child("subPathExpr"),
                    sub,
                    "subPathExpr and subPath are mutually exclusive",
                ));
            }
            descending(sub, &at.child("subPathExpr"), errors);
        }
        one_of(mount, "mountPropagation", &["Bidirectional", "HostToContainer", "None"], &at, errors);
        if text(mount, "mountPropagation") == Some("Bidirectional")
            && container["securityContext"]["privileged"] != true
        {
            errors.push(FieldError::forbidden(
                &at.child("mountPropagation"),
                "Bidirectional mount propagation is available only to privileged containers",
            ));
        }
    }
}

fn security(context: &Value, path: &Path, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        user_id(context, field, path, errors);
    }
    seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    one_of(context, "procMount", &["Default", "Unmasked"], path, errors);
    if context["allowPrivilegeEscalation"] == false && context["privileged"] == true {
        errors.push(FieldError::invalid(
            path,
            context,
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ));
    }
}
