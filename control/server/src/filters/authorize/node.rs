//! What kubelets may do: their own node, the pods bound to it, and what those pods refer to. From [`super`]; to it. Pure over the caches.
//!
//! The rules are those of upstream's `plugin/pkg/auth/authorizer/node/node_authorizer.go` (v1.34).

use serde_json::Value;
use skep_api::meta;

use super::{Action, Decision};
use crate::admission::Lister;
use crate::identity::User;

/// Verbs on kinds of which kubelets see all objects or make their own.
const RULES: [(&str, &str, &[&str]); 17] = [
    ("", "services", &["get", "list", "watch"]),
    ("", "nodes", &["create", "update", "patch"]),
    ("", "nodes/status", &["update", "patch"]),
    ("", "pods", &["create", "delete"]),
    ("", "pods/status", &["update", "patch"]),
    ("", "pods/eviction", &["create"]),
    ("", "events", &["create", "update", "patch"]),
    ("events.k8s.io", "events", &["create", "update", "patch"]),
    ("authentication.k8s.io", "tokenreviews", &["create"]),
    ("authorization.k8s.io", "subjectaccessreviews", &["create"]),
    ("authorization.k8s.io", "localsubjectaccessreviews", &["create"]),
    ("certificates.k8s.io", "certificatesigningrequests", &["create", "get", "list", "watch"]),
    ("certificates.k8s.io", "clustertrustbundles", &["get", "list", "watch"]),
    ("node.k8s.io", "runtimeclasses", &["get", "list", "watch"]),
    ("storage.k8s.io", "csidrivers", &["get", "list", "watch"]),
    ("storage.k8s.io", "volumeattachments", &["get"]),
    ("", "endpoints", &["get"]),
];

/// Whether the node authorizer allows the action; it has nothing to say about others than nodes.
pub(super) fn decide(lister: &dyn Lister, user: &User, action: &Action<'_>) -> Decision {
    let Some(node) = user.name.strip_prefix("system:node:").filter(|_| user.is_in("system:nodes")) else {
        return Decision::NoOpinion(String::new());
    };
    if !action.is_resource {
        return Decision::NoOpinion(String::new());
    }
    match by_kind(lister, node, action) {
        Ok(()) => Decision::Allow(String::new()),
        Err(reason) => Decision::NoOpinion(reason),
    }
}

fn by_kind(lister: &dyn Lister, node: &str, action: &Action<'_>) -> Result<(), String> {
    let full = action.full_resource();
    match (action.group.as_ref(), full.as_ref()) {
        ("", "secrets" | "configmaps" | "persistentvolumeclaims") => readable_by_pods(lister, node, action),
        ("", "persistentvolumes") => volume(lister, node, action),
        ("", "persistentvolumeclaims/status") => {
            verbs(action, &["get", "update", "patch"])?;
            related(lister, node, action)
        }
        ("", "serviceaccounts") => {
            verbs(action, &["get"])?;
            related(lister, node, action)
        }
        ("", "serviceaccounts/token") => {
            verbs(action, &["create"])?;
            related(lister, node, action)
        }
        ("", "pods") if matches!(action.verb.as_ref(), "get" | "list" | "watch") => pods(lister, node, action),
        ("", "nodes") if matches!(action.verb.as_ref(), "get" | "list" | "watch") => own_node(node, action),
        ("coordination.k8s.io", "leases") => lease(node, action),
        ("storage.k8s.io", "csinodes") => csi_node(node, action),
        ("storage.k8s.io", "volumeattachments") => attachment(lister, node, action),
        ("resource.k8s.io", "resourceslices") => {
            verbs(action, &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"])
        }
        ("resource.k8s.io", "resourceclaims") => {
            verbs(action, &["get"])?;
            related(lister, node, action)
        }
        (group, resource) => {
            let rule = RULES.iter().find(|(g, r, v)| *g == group && *r == resource && v.contains(&&*action.verb));
            rule.map(|_| ()).ok_or_else(String::new)
        }
    }
}

fn verbs(action: &Action<'_>, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&action.verb.as_ref()) {
        return Ok(());
    }
    Err(format!("can only {} this resource", allowed.join("/")))
}

fn readable_by_pods(lister: &dyn Lister, node: &str, action: &Action<'_>) -> Result<(), String> {
    if !matches!(action.verb.as_ref(), "get" | "list" | "watch") {
        return Err("can only read resources of this type".to_owned());
    }
    if action.name.is_empty() {
        return Err(format!("No Object name found, can only {} a single named object", action.verb));
    }
    related(lister, node, action)
}

fn related(lister: &dyn Lister, node: &str, action: &Action<'_>) -> Result<(), String> {
    let found = lister.pods_on(node, &action.namespace).iter().any(|pod| refers(pod, &action.resource, &action.name));
    if found { Ok(()) } else { Err(unrelated(node)) }
}

fn unrelated(node: &str) -> String {
    format!("no relationship found between node '{node}' and this object")
}

fn pods(lister: &dyn Lister, node: &str, action: &Action<'_>) -> Result<(), String> {
    if action.verb != "get" {
        return if action.selected_node == node {
            Ok(())
        } else {
            Err("can only list/watch pods with spec.nodeName field selector".to_owned())
        };
    }
    if lister.pods_on(node, &action.namespace).iter().any(|pod| meta::name(pod) == action.name) {
        return Ok(());
    }
    Err(unrelated(node))
}

fn own_node(node: &str, action: &Action<'_>) -> Result<(), String> {
    match action.name.as_ref() {
        name if name == node => Ok(()),
        "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
        other => Err(format!("node '{node}' cannot read '{other}', only its own Node object")),
    }
}

fn volume(lister: &dyn Lister, node: &str, action: &Action<'_>) -> Result<(), String> {
    verbs(action, &["get"])?;
    let uses = |pod: &Value| {
        claims(pod).any(|claim| {
            let found = lister.get("", "persistentvolumeclaims", meta::namespace(pod), &claim);
            found.is_some_and(|c| c.pointer("/spec/volumeName").and_then(Value::as_str) == Some(&*action.name))
        })
    };
    if lister.pods_on(node, "").iter().any(|pod| uses(pod)) { Ok(()) } else { Err(unrelated(node)) }
}

fn attachment(lister: &dyn Lister, node: &str, action: &Action<'_>) -> Result<(), String> {
    verbs(action, &["get"])?;
    let found = lister.get("storage.k8s.io", "volumeattachments", "", &action.name);
    let own = found.is_some_and(|a| a.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node));
    if own { Ok(()) } else { Err(unrelated(node)) }
}

fn lease(node: &str, action: &Action<'_>) -> Result<(), String> {
    if !matches!(action.verb.as_ref(), "get" | "create" | "update" | "patch" | "delete") {
        return Err("can only get, create, update, patch, or delete a node lease".to_owned());
    }
    if action.namespace != "kube-node-lease" {
        return Err("can only access leases in the \"kube-node-lease\" system namespace".to_owned());
    }
    // The name of a new lease is in the body; admission checks it.
    if action.verb != "create" && action.name != node {
        return Err("can only access node lease with the same name as the requesting node".to_owned());
    }
    Ok(())
}

fn csi_node(node: &str, action: &Action<'_>) -> Result<(), String> {
    if !matches!(action.verb.as_ref(), "get" | "create" | "update" | "patch" | "delete") {
        return Err("can only get, create, update, patch, or delete a CSINode".to_owned());
    }
    if action.verb != "create" && action.name != node {
        return Err("can only access CSINode with the same name as the requesting node".to_owned());
    }
    Ok(())
}

fn claims(pod: &Value) -> impl Iterator<Item = String> {
    let ephemeral = |volume: &Value| {
        volume.get("ephemeral")?;
        Some(format!("{}-{}", meta::name(pod), volume.get("name")?.as_str()?))
    };
    let claim = |volume: &Value| {
        let named = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str).map(str::to_owned);
        named.or_else(|| ephemeral(volume))
    };
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten();
    volumes.filter_map(claim).collect::<Vec<_>>().into_iter()
}

/// Whether a pod needs this object of its namespace.
fn refers(pod: &Value, resource: &str, name: &str) -> bool {
    let Some(spec) = pod.get("spec") else { return false };
    match resource {
        "serviceaccounts" => spec.get("serviceAccountName").and_then(Value::as_str) == Some(name),
        "persistentvolumeclaims" => claims(pod).any(|claim| claim == name),
        "secrets" => {
            names(spec, &["secret", "secretRef", "secretKeyRef", "nodePublishSecretRef", "imagePullSecrets"], name)
        }
        "configmaps" => names(spec, &["configMap", "configMapRef", "configMapKeyRef"], name),
        "resourceclaims" => {
            let list = pod.pointer("/status/resourceClaimStatuses").and_then(Value::as_array).into_iter().flatten();
            list.chain(spec.get("resourceClaims").and_then(Value::as_array).into_iter().flatten())
                .any(|claim| claim.get("resourceClaimName").and_then(Value::as_str) == Some(name))
        }
        _ => false,
    }
}

/// Whether one of these fields, anywhere in the spec, names the object: as `{name}`, `{secretName}` or a list of such.
fn names(value: &Value, fields: &[&str], name: &str) -> bool {
    let is_name = |reference: &Value| {
        ["name", "secretName"].iter().any(|field| reference.get(field).and_then(Value::as_str) == Some(name))
    };
    match value {
        Value::Object(map) => map.iter().any(|(field, inner)| {
            let hit = fields.contains(&field.as_str())
                && (is_name(inner) || inner.as_array().is_some_and(|list| list.iter().any(is_name)));
            hit || names(inner, fields, name)
        }),
        Value::Array(list) => list.iter().any(|inner| names(inner, fields, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::refers;

    #[test]
    fn references_of_pods() {
        let pod = json!({"metadata": {"name": "p", "namespace": "d"}, "spec": {
            "serviceAccountName": "web",
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}], "envFrom": [{"configMapRef": {"name": "all"}}]}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "vol"}},
                {"name": "w", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
                {"name": "x", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "y", "ephemeral": {}}]}});
        for (resource, name, expected) in [
            ("secrets", "pull", true),
            ("secrets", "env", true),
            ("secrets", "vol", true),
            ("secrets", "all", false),
            ("configmaps", "all", true),
            ("configmaps", "kube-root-ca.crt", true),
            ("configmaps", "vol", false),
            ("persistentvolumeclaims", "data", true),
            ("persistentvolumeclaims", "p-y", true),
            ("serviceaccounts", "web", true),
            ("serviceaccounts", "default", false),
        ] {
            assert_eq!(refers(&pod, resource, name), expected, "{resource} {name}");
        }
    }
}
