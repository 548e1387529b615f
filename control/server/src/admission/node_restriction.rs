//! `NodeRestriction`: a kubelet may change its own node, its own pods and its own lease only. Pure over the lister.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{flag, items, pairs, present, text, texts};

const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels of these names, and of `kubelet.kubernetes.io` and `node.kubernetes.io`, a kubelet may set.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

pub(super) fn admit(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Rejection> {
    if attributes.operation == Operation::Connect || !attributes.user.is_in("system:nodes") {
        return Ok(());
    }
    let Some(node) = attributes.user.name.strip_prefix("system:node:") else { return Ok(()) };
    if node.is_empty() {
        let user = &attributes.user.name;
        return Err(Rejection::forbidden(format!("could not determine node from user {user:?}")));
    }
    let request = Request { lister, attributes, object, old, node };
    let refusal = match (attributes.kind.group.as_str(), attributes.kind.plural.as_str()) {
        ("", "pods") => request.pods()?,
        ("", "nodes") => request.nodes(),
        ("", "persistentvolumeclaims") if attributes.subresource != "status" => {
            Some("may only update PVC status".to_owned())
        }
        ("", "serviceaccounts") => request.tokens()?,
        ("coordination.k8s.io", "leases") => request.leases(),
        ("storage.k8s.io", "csinodes") => (request.target() != node)
            .then(|| "can only access CSINode with the same name as the requesting node".to_owned()),
        _ => None,
    };
    refusal.map_or(Ok(()), |text| Err(Rejection::Forbidden(text)))
}

/// A request of a kubelet.
struct Request<'a> {
    lister: &'a dyn Lister,
    attributes: &'a Attributes<'a>,
    object: &'a Value,
    old: Option<&'a Value>,
    node: &'a str,
}

impl Request<'_> {
    /// Name of the object, also when it is only being made.
    fn target(&self) -> &str {
        match self.attributes.name {
            "" => text(self.object, "/metadata/name"),
            name => name,
        }
    }

    fn existing_pod(&self, name: &str) -> Result<std::sync::Arc<Value>, Rejection> {
        let found = self.lister.get("", "pods", self.attributes.namespace, name);
        found.ok_or_else(|| not_found("pods", name))
    }

    fn pods(&self) -> Result<Option<String>, Rejection> {
        let node = self.node;
        let operation = self.attributes.operation;
        match (self.attributes.subresource, operation) {
            ("", Operation::Create) => self.mirror_pod(),
            ("", Operation::Delete) => {
                let pod = self.existing_pod(self.attributes.name)?;
                Ok((text(&pod, "/spec/nodeName") != node)
                    .then(|| format!("node {node:?} can only delete pods with spec.nodeName set to itself")))
            }
            ("", _) => Ok(Some(format!(
                "unexpected operation \"{}\", node {node:?} can only create and delete mirror pods",
                words(operation)
            ))),
            ("status", Operation::Update) => Ok(self.pod_status()),
            ("eviction", Operation::Create) => {
                let pod = self.existing_pod(self.target())?;
                Ok((text(&pod, "/spec/nodeName") != node)
                    .then(|| format!("node {node} can only evict pods with spec.nodeName set to itself")))
            }
            ("status" | "eviction", _) => Ok(Some(format!("unexpected operation \"{}\"", words(operation)))),
            (other, _) => {
                Ok(Some(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed")))
            }
        }
    }

    fn pod_status(&self) -> Option<String> {
        let (old, node) = (self.old?, self.node);
        if text(old, "/spec/nodeName") != node {
            return Some(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
        }
        let differs = |pointer| old.pointer(pointer) != self.object.pointer(pointer);
        if differs("/metadata/labels") {
            return Some(format!("node {node:?} cannot update labels through pod status"));
        }
        differs("/status/resourceClaimStatuses").then(|| format!("node {node:?} cannot update resource claim statues"))
    }

    fn mirror_pod(&self) -> Result<Option<String>, Rejection> {
        let (pod, node) = (self.object, self.node);
        if !pairs(pod, "/metadata/annotations").any(|(key, _)| key == MIRROR) {
            return Ok(Some(format!(
                "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
            )));
        }
        if text(pod, "/spec/nodeName") != node {
            return Ok(Some(format!("node {node:?} can only create pods with spec.nodeName set to itself")));
        }
        if let Some(refusal) = self.mirror_owner()? {
            return Ok(Some(refusal));
        }
        if !text(pod, "/spec/serviceAccountName").is_empty() {
            return Ok(Some(format!("node {node:?} can not create pods that reference a service account")));
        }
        for (what, words) in [
            ("secret", "secrets"),
            ("configMap", "configmaps"),
            ("clusterTrustBundle", "clustertrustbundles"),
            ("persistentVolumeClaim", "persistentvolumeclaims"),
        ] {
            if references_object(pod, what) {
                return Ok(Some(format!("node {node:?} can not create pods that reference {words}")));
            }
        }
        Ok(None)
    }

    fn mirror_owner(&self) -> Result<Option<String>, Rejection> {
        let node = self.node;
        let refuse = |text: &str| Ok(Some(format!("node {node:?} {text}")));
        let owner = match items(self.object, "/metadata/ownerReferences") {
            [] => return refuse("can only create pods with an owner reference set to itself"),
            [owner] => owner,
            _ => return refuse("can only create pods with a single owner reference set to itself"),
        };
        let is_node = text(owner, "/apiVersion") == "v1" && text(owner, "/kind") == "Node";
        if !is_node || text(owner, "/name") != node {
            return refuse("can only create pods with an owner reference set to itself");
        }
        if flag(owner, "/controller") != Some(true) {
            return refuse("can only create pods with a controller owner reference set to itself");
        }
        if flag(owner, "/blockOwnerDeletion") == Some(true) {
            return refuse("must not set blockOwnerDeletion on an owner reference");
        }
        let existing = self.lister.get("", "nodes", "", node).ok_or_else(|| not_found("nodes", node))?;
        let (given, real) = (text(owner, "/uid"), text(&existing, "/metadata/uid"));
        Ok((given != real).then(|| format!("node {node} UID mismatch: expected {given} got {real}")))
    }

    fn nodes(&self) -> Option<String> {
        let (node, target) = (self.node, self.target());
        if target != node {
            return Some(format!("node {node:?} is not allowed to modify node {target:?}"));
        }
        let changed = changed_labels(self.object, self.old);
        match (self.attributes.operation, self.old) {
            (Operation::Create, _) => {
                if present(self.object, "/spec/configSource") {
                    return Some(format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
                }
                let forbidden = forbidden_labels(&changed);
                (!forbidden.is_empty())
                    .then(|| format!("node {node:?} is not allowed to set the following labels: {forbidden}"))
            }
            (Operation::Update, Some(old)) => {
                if self.object.pointer("/spec/taints") != old.pointer("/spec/taints") {
                    return Some(format!("node {node:?} is not allowed to modify taints"));
                }
                if self.object.pointer("/metadata/ownerReferences") != old.pointer("/metadata/ownerReferences") {
                    return Some(format!("node {node:?} is not allowed to modify ownerReferences"));
                }
                let forbidden = forbidden_labels(&changed);
                (!forbidden.is_empty()).then(|| format!("is not allowed to modify labels: {forbidden}"))
            }
            (Operation::Update | Operation::Delete | Operation::Connect, _) => None,
        }
    }

    fn leases(&self) -> Option<String> {
        if self.attributes.namespace != "kube-node-lease" {
            return Some("can only access leases in the \"kube-node-lease\" system namespace".to_owned());
        }
        (self.target() != self.node)
            .then(|| "can only access node lease with the same name as the requesting node".to_owned())
    }

    fn tokens(&self) -> Result<Option<String>, Rejection> {
        if self.attributes.operation != Operation::Create || self.attributes.subresource != "token" {
            return Ok(None);
        }
        let bound = self.object.pointer("/spec/boundObjectRef").unwrap_or(&Value::Null);
        let name = text(bound, "/name");
        let is_pod = text(bound, "/apiVersion") == "v1" && text(bound, "/kind") == "Pod";
        if !is_pod || name.is_empty() {
            return Ok(Some("node requested token not bound to a pod".to_owned()));
        }
        let uid = text(bound, "/uid");
        if uid.is_empty() {
            return Ok(Some("node requested token with a pod binding without a uid".to_owned()));
        }
        let pod = self.existing_pod(name)?;
        let real = text(&pod, "/metadata/uid");
        if uid != real {
            return Ok(Some(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            )));
        }
        if text(&pod, "/spec/nodeName") != self.node {
            return Ok(Some("node requested token bound to a pod scheduled on a different node".to_owned()));
        }
        let unknown = texts(self.object, "/spec/audiences").into_iter().find(|audience| !pod_wants(&pod, audience));
        Ok(unknown.map(|audience| format!("audience {audience:?} not found in pod spec volume")))
    }
}

/// Whether the pod projects a token for that audience; the empty one stands for the API server. Volumes of CSI drivers may ask for any.
fn pod_wants(pod: &Value, audience: &str) -> bool {
    let volumes = items(pod, "/spec/volumes");
    let driven = volumes.iter().any(|volume| {
        present(volume, "/csi") || present(volume, "/persistentVolumeClaim") || present(volume, "/ephemeral")
    });
    let tokens = volumes.iter().flat_map(|volume| items(volume, "/projected/sources"));
    driven
        || audience.is_empty()
        || tokens
            .filter_map(|source| source.get("serviceAccountToken"))
            .any(|token| text(token, "/audience") == audience)
}

/// Keys of labels that are new, gone or changed.
fn changed_labels<'a>(object: &'a Value, old: Option<&'a Value>) -> BTreeSet<&'a str> {
    const LABELS: &str = "/metadata/labels";
    let now: BTreeSet<(&str, &str)> = pairs(object, LABELS).collect();
    let before: BTreeSet<(&str, &str)> = old.into_iter().flat_map(|old| pairs(old, LABELS)).collect();
    now.symmetric_difference(&before).map(|(key, _)| *key).collect()
}

/// Those of the labels a kubelet may not touch: of Kubernetes' own domains, except its own facts.
fn forbidden_labels(changed: &BTreeSet<&str>) -> String {
    let within = |namespace: &str, domain: &str| namespace == domain || namespace.ends_with(&format!(".{domain}"));
    let forbidden: Vec<&str> = changed
        .iter()
        .copied()
        .filter(|label| {
            let Some((namespace, _)) = label.split_once('/') else { return false };
            if within(namespace, "node-restriction.kubernetes.io") {
                return true;
            }
            let reserved = within(namespace, "kubernetes.io") || within(namespace, "k8s.io");
            let own = OWN_LABELS.contains(label)
                || within(namespace, "kubelet.kubernetes.io")
                || within(namespace, "node.kubernetes.io");
            reserved && !own
        })
        .collect();
    forbidden.join(", ")
}

/// Whether the pod refers to objects of that kind by a volume, a projection or its environment; `what` is the field's name.
pub(super) fn references_object(pod: &Value, what: &str) -> bool {
    let volumes = items(pod, "/spec/volumes");
    let by_volume = volumes.iter().any(|volume| {
        volume.get(what).is_some()
            || items(volume, "/projected/sources").iter().any(|source| source.get(what).is_some())
    });
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    let mut containers = containers.iter().flat_map(|list| items(pod, &format!("/spec/{list}")));
    let by_environment = containers.any(|container| {
        items(container, "/envFrom").iter().any(|source| source.get(format!("{what}Ref")).is_some())
            || items(container, "/env").iter().any(|env| present(env, &format!("/valueFrom/{what}KeyRef")))
    });
    let pulls = what == "secret" && !items(pod, "/spec/imagePullSecrets").is_empty();
    by_volume || by_environment || pulls
}

fn not_found(resource: &str, name: &str) -> Rejection {
    Rejection::NotFound { group: String::new(), resource: resource.to_owned(), name: name.to_owned() }
}

fn words(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}
