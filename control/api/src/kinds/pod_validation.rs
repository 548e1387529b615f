//! The rules of a pod's spec, for pods and pod templates, in upstream's words (`pkg/apis/core/validation`, v1.34); from strategies; pure.

mod affinity;
mod container;
mod handler;
mod resources;
mod scheduling;
mod update;
mod volume;

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::name;

pub(crate) use affinity::label_selector;
pub(crate) use container::port_name;
pub use resources::requirements;
pub use scheduling::tolerations;
pub use update::pod_update;

/// What is collected.
pub(crate) type Errors = Vec<FieldError>;

/// Rules of a pod's spec at `path`.
pub fn pod_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let volumes = volume::volumes(items(spec, "volumes"), &path.child("volumes"), errors);
    container::containers(spec, &volumes, path, errors);
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, errors);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, errors);
    dns_config(spec, path, errors);
    if let Some(seconds) = integer(spec, "activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.push(FieldError::invalid_number(
            &path.child("activeDeadlineSeconds"),
            seconds,
            "must be between 1 and 2147483647, inclusive",
        ));
    }
    for (field, check) in [
        ("nodeName", name::dns_subdomain as fn(&str, bool) -> Vec<String>),
        ("serviceAccountName", name::dns_subdomain),
        ("hostname", name::dns_label),
        ("subdomain", name::dns_label),
        ("priorityClassName", name::dns_subdomain),
        ("runtimeClassName", name::dns_subdomain),
    ] {
        if let Some(value) = text(spec, field).filter(|v| !v.is_empty()) {
            words(&path.child(field), value, check(value, false), errors);
        }
    }
    security_context(spec, path, errors);
    for (index, alias) in items(spec, "hostAliases").iter().enumerate() {
        let at = path.child("hostAliases").index(index);
        let ip = text(alias, "ip").unwrap_or_default();
        address(&at.child("ip"), ip, errors);
        for (number, host) in items(alias, "hostnames").iter().filter_map(Value::as_str).enumerate() {
            words(&at.child("hostnames").index(number), host, name::dns_subdomain(host, false), errors);
        }
    }
    scheduling::check(spec, path, errors);
    affinity::check(&spec["affinity"], &path.child("affinity"), errors);
    if let Some(os) = text(&spec["os"], "name")
        && !["linux", "windows"].contains(&os)
    {
        errors.push(FieldError::not_supported(&path.child("os"), &spec["os"]["name"], &["linux", "windows"]));
    }
    for (index, claim) in items(spec, "resourceClaims").iter().enumerate() {
        resource_claim(claim, &path.child("resourceClaims").index(index), errors);
    }
}

/// A list, empty when absent.
pub(crate) fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object[field].as_str()
}

pub(crate) fn integer(object: &Value, field: &str) -> Option<i64> {
    object[field].as_i64()
}

/// One error per broken rule of a name.
pub(crate) fn words(path: &Path, value: &str, broken: Vec<String>, errors: &mut Errors) {
    errors.extend(broken.into_iter().map(|detail| FieldError::invalid_text(path, value, detail)));
}

/// An enumeration; absent is the defaulting's matter.
fn one_of(object: &Value, field: &str, supported: &[&str], path: &Path, errors: &mut Errors) {
    if let Some(value) = text(object, field)
        && !supported.contains(&value)
    {
        errors.push(FieldError::not_supported(&path.child(field), &object[field], supported));
    }
}

pub(crate) fn address(path: &Path, value: &str, errors: &mut Errors) {
    if value.parse::<std::net::IpAddr>().is_err() {
        errors.push(FieldError::invalid_text(
            path,
            value,
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ));
    }
}

/// Limits of resolv.conf: `MaxDNSNameservers`, `MaxDNSSearchPaths`, `MaxDNSSearchListChars`.
fn dns_config(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = &spec["dnsConfig"];
    let at = path.child("dnsConfig");
    if text(spec, "dnsPolicy") == Some("None") {
        if config.is_null() {
            errors.push(FieldError::required(&at, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if items(config, "nameservers").is_empty() {
            errors.push(FieldError::required(
                &at.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            ));
            return;
        }
    }
    let servers = items(config, "nameservers");
    if servers.len() > 3 {
        errors.push(FieldError::invalid(
            &at.child("nameservers"),
            &config["nameservers"],
            "must not have more than 3 nameservers",
        ));
    }
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        address(&at.child("nameservers").index(index), server, errors);
    }
    let searches = items(config, "searches");
    if searches.len() > 32 {
        errors.push(FieldError::invalid(
            &at.child("searches"),
            &config["searches"],
            "must not have more than 32 search paths",
        ));
    }
    for (index, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        if search != "." {
            let bare = search.strip_suffix('.').unwrap_or(search);
            words(&at.child("searches").index(index), search, name::dns_subdomain(bare, false), errors);
        }
    }
    for (index, option) in items(config, "options").iter().enumerate() {
        if text(option, "name").is_none_or(str::is_empty) {
            errors.push(FieldError::required(&at.child("options").index(index), "must not be empty"));
        }
    }
}

fn security_context(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec["hostUsers"] == false {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec[field] == true {
                errors.push(FieldError::forbidden(&path.child(field), "when `hostUsers` is false"));
            }
        }
    }
    let context = &spec["securityContext"];
    let at = path.child("securityContext");
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        errors.push(FieldError::invalid(
            &at.child("shareProcessNamespace"),
            &Value::Bool(true),
            "ShareProcessNamespace and HostPID cannot both be enabled",
        ));
    }
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        user_id(context, field, &at, errors);
    }
    for (index, group) in items(context, "supplementalGroups").iter().enumerate() {
        if let Some(group) = group.as_i64().filter(|g| !ID_RANGE.contains(g)) {
            errors.push(FieldError::invalid_number(&at.child("supplementalGroups").index(index), group, ID_WORDS));
        }
    }
    one_of(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &at, errors);
    one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &at, errors);
    seccomp(&context["seccompProfile"], &at.child("seccompProfile"), errors);
}

const ID_RANGE: std::ops::RangeInclusive<i64> = 0..=2_147_483_647;
const ID_WORDS: &str = "must be between 0 and 2147483647, inclusive";

/// A user or group id.
fn user_id(context: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(id) = integer(context, field).filter(|id| !ID_RANGE.contains(id)) {
        errors.push(FieldError::invalid_number(&path.child(field), id, ID_WORDS));
    }
}

/// A localhost profile names a file below the kubelet's directory: no empty name (CVE-2023-2431), no way out.
fn seccomp(profile: &Value, path: &Path, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let local = text(profile, "localhostProfile");
    match text(profile, "type") {
        None | Some("") => {
            errors.push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set"))
        }
        Some("Localhost") => match local {
            None => errors.push(FieldError::required(
                &path.child("localhostProfile"),
                "must be set when seccomp type is Localhost",
            )),
            Some(file) => descending(file, &path.child("localhostProfile"), errors),
        },
        Some("RuntimeDefault" | "Unconfined") => {
            if let Some(file) = local {
                errors.push(FieldError::invalid_text(
                    &path.child("localhostProfile"),
                    file,
                    "can only be set when seccomp type is Localhost",
                ));
            }
        }
        Some(_) => errors.push(FieldError::not_supported(
            &path.child("type"),
            &profile["type"],
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
}

/// A relative path that stays below where it starts.
pub(crate) fn descending(file: &str, path: &Path, errors: &mut Errors) {
    if file.starts_with('/') {
        errors.push(FieldError::invalid_text(path, file, "must be a relative path"));
    }
    if file.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid_text(path, file, "must not contain '..'"));
    }
}

fn resource_claim(claim: &Value, path: &Path, errors: &mut Errors) {
    let (name, template) = (&claim["resourceClaimName"], &claim["resourceClaimTemplateName"]);
    let shown = || {
        let claim_name = claim["name"].as_str().unwrap_or_default();
        format!(
            "{{\"Name\":{},\"ResourceClaimName\":{name},\"ResourceClaimTemplateName\":{template}}}",
            Value::from(claim_name)
        )
    };
    if name.is_null() && template.is_null() {
        errors.push(FieldError::invalid_shown(
            path,
            shown(),
            "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
        ));
    } else if !name.is_null() && !template.is_null() {
        errors.push(FieldError::invalid_shown(
            path,
            shown(),
            "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        ));
    }
    if text(claim, "name").is_none_or(str::is_empty) {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
}
