//! `ServiceAccount`: every pod runs as an account, mounts its token and uses its image pull secrets. Pure over the lister.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{flag, items, list_mut, present, set, text};

/// Where containers find the token, the root certificate and their namespace.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Volumes of that name are taken for the token volume.
const VOLUME_PREFIX: &str = "kube-api-access-";
/// One hour and a bit, so that kubelets renew in time; upstream reads the odd number as "made by this plugin".
const TOKEN_SECONDS: i64 = 3607;
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// Whether the request would be refused only because its namespace is so young that the default account is not there yet.
/// The caller may try again for a second before it answers.
pub fn awaits_default_account(lister: &dyn Lister, attributes: &Attributes<'_>, pod: &Value) -> bool {
    attributes.operation == Operation::Create
        && attributes.is("", "pods")
        && !present(pod, MIRROR)
        && matches!(text(pod, "/spec/serviceAccountName"), "" | "default")
        && lister.get("", "serviceaccounts", attributes.namespace, "default").is_none()
        && lister.get("", "namespaces", "", attributes.namespace).is_some()
}

pub(super) fn mutate(lister: &dyn Lister, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Rejection> {
    if attributes.operation != Operation::Create || !attributes.is("", "pods") || present(pod, MIRROR) {
        return Ok(());
    }
    let name = match text(pod, "/spec/serviceAccountName") {
        "" => "default".to_owned(),
        given => given.to_owned(),
    };
    set(pod, "/spec", "serviceAccountName", json!(name));
    // The older name of the same field.
    set(pod, "/spec", "serviceAccount", json!(name));
    let Some(account) = lister.get("", "serviceaccounts", attributes.namespace, &name) else {
        return Err(missing_account(attributes.namespace, &name));
    };
    let automount = flag(pod, "/spec/automountServiceAccountToken")
        .or_else(|| flag(&account, "/automountServiceAccountToken"))
        .unwrap_or(true);
    if automount {
        mount_token(pod, &random_suffix());
    }
    if items(pod, "/spec/imagePullSecrets").is_empty() {
        let secrets: Vec<Value> =
            items(&account, "/imagePullSecrets").iter().map(|secret| json!({"name": text(secret, "/name")})).collect();
        if !secrets.is_empty() {
            set(pod, "/spec", "imagePullSecrets", Value::Array(secrets));
        }
    }
    Ok(())
}

pub(super) fn validate(lister: &dyn Lister, attributes: &Attributes<'_>, pod: &Value) -> Result<(), Rejection> {
    if attributes.operation != Operation::Create || !attributes.is("", "pods") {
        return Ok(());
    }
    let name = text(pod, "/spec/serviceAccountName");
    if present(pod, MIRROR) {
        return validate_mirror(pod, name);
    }
    if name.is_empty() {
        let pod_name = text(pod, "/metadata/name");
        let namespace = attributes.namespace;
        return Err(Rejection::forbidden(format!("no service account specified for pod {namespace}/{pod_name}")));
    }
    match lister.get("", "serviceaccounts", attributes.namespace, name) {
        Some(_) => Ok(()),
        None => Err(missing_account(attributes.namespace, name)),
    }
}

fn missing_account(namespace: &str, name: &str) -> Rejection {
    Rejection::forbidden(format!(
        "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
    ))
}

/// A mirror of a static pod must not reach API objects: the kubelet made it up.
fn validate_mirror(pod: &Value, account: &str) -> Result<(), Rejection> {
    if !account.is_empty() {
        return Err(Rejection::forbidden("a mirror pod may not reference service accounts"));
    }
    if super::node_restriction::references_object(pod, "secret") {
        return Err(Rejection::forbidden("a mirror pod may not reference secrets"));
    }
    let token = items(pod, "/spec/volumes")
        .iter()
        .flat_map(|volume| items(volume, "/projected/sources"))
        .any(|source| present(source, "/serviceAccountToken"));
    if token {
        return Err(Rejection::forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn mount_token(pod: &mut Value, suffix: &str) {
    let volumes = items(pod, "/spec/volumes").iter();
    let existing = volumes.map(|volume| text(volume, "/name")).find(|name| name.starts_with(VOLUME_PREFIX));
    let has_volume = existing.is_some();
    let volume = existing.map_or_else(|| format!("{VOLUME_PREFIX}{suffix}"), str::to_owned);
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let has_mount = items(container, "/volumeMounts").iter().any(|m| text(m, "/mountPath") == MOUNT_PATH);
            if has_mount {
                continue;
            }
            if let Some(mounts) = list_mut(container, "volumeMounts") {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
                mounted = true;
            }
        }
    }
    if mounted
        && !has_volume
        && let Some(volumes) = pod.get_mut("spec").and_then(|spec| list_mut(spec, "volumes"))
    {
        volumes.push(token_volume(&volume));
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

/// Five letters and digits without vowels and look-alikes, as generated names have them.
fn random_suffix() -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}
