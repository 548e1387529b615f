//! What the cluster adds to a request's object and refuses beyond the kind's own rules. From the verbs; to the registry. Pure over [`Lister`].
//!
//! mutate: each plugin in upstream's order changes the object → (the registry prepares and validates) → validate: each plugin may refuse
//! → [`resource_quota::charges`], last, says what the namespace's quotas have to be charged.
//!
//! Plugins carry the names and order of Kubernetes v1.34 `pkg/kubeapiserver/options/plugins.go`.

pub mod certificates;
pub mod default_ingress_class;
pub mod default_storage_class;
pub mod default_toleration_seconds;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod persistent_volume_claim_resize;
mod pod_resources;
pub mod pod_security;
pub mod priority;
pub mod resource_quota;
pub mod runtime_class;
pub mod service_account;
pub mod storage_object_in_use_protection;
pub mod taint_nodes_by_condition;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;
use skep_api::field::FieldError;
use skep_api::kinds::Kind;

use crate::identity::User;

/// What a request does with its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or a POST to a subresource.
    Create,
    /// A changed object.
    Update,
    /// The end of an object.
    Delete,
    /// A stream to an object (exec, attach, port-forward, proxy).
    Connect,
}

/// The circumstances of a request.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// Kind of the resource in the URL (of the parent when there is a subresource).
    pub kind: &'a Kind,
    /// Subresource; empty for the object itself.
    pub subresource: &'a str,
    /// Namespace; empty for cluster-wide kinds.
    pub namespace: &'a str,
    /// Name; empty for creates by generated name.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a User,
    /// Nothing will be stored.
    pub dry_run: bool,
}

impl Attributes<'_> {
    /// Whether the request is about this resource itself, not a subresource.
    #[must_use]
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.is_part(group, plural, "")
    }

    /// Whether the request is about this part of this resource.
    #[must_use]
    pub fn is_part(&self, group: &str, plural: &str, subresource: &str) -> bool {
        self.kind.group == group && self.kind.plural == plural && self.subresource == subresource
    }
}

/// What plugins know of the cluster besides the object at hand; the server answers from its caches.
pub trait Lister: Send + Sync {
    /// One object; `namespace` is empty for cluster-wide kinds.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a namespace, or of the cluster when `namespace` is empty.
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>>;
    /// Whether `user` may do `verb` with the named cluster-wide object.
    fn authorized(&self, user: &User, verb: &str, group: &str, resource: &str, name: &str) -> bool;
    /// The pods of a namespace (empty: of all) that are bound to a node.
    fn pods_on(&self, node: &str, namespace: &str) -> Vec<Arc<Value>> {
        let mut pods = self.list("", "pods", namespace);
        pods.retain(|pod| pod.pointer("/spec/nodeName").and_then(Value::as_str) == Some(node));
        pods
    }
    /// The role bindings of a namespace (empty: the cluster's) that may name the user; others may be among them.
    fn bindings(&self, _user: &User, namespace: &str) -> Vec<Arc<Value>> {
        let plural = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        self.list("rbac.authorization.k8s.io", plural, namespace)
    }
}

/// What an accepted request is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// 403; the text after `pods "x" is forbidden: `.
    Forbidden(String),
    /// 403 with the cause `NamespaceTerminating`: nothing new enters a namespace that is going away.
    NamespaceTerminating(String),
    /// 422 of the object.
    Invalid(Vec<FieldError>),
    /// 404 of another object.
    NotFound {
        /// Its group.
        group: String,
        /// Its resource.
        resource: String,
        /// Its name.
        name: String,
    },
    /// 500.
    Internal(String),
}

impl Rejection {
    /// A 403 with this text.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::Forbidden(text.into())
    }

    /// Several reasons as one text: bare when alone, else `[a, b]`; none when there are no reasons.
    #[must_use]
    pub fn forbidden_all(mut reasons: Vec<String>) -> Option<Self> {
        match reasons.len() {
            0 => None,
            1 => reasons.pop().map(Self::Forbidden),
            _ => Some(Self::Forbidden(format!("[{}]", reasons.join(", ")))),
        }
    }
}

/// Runs the plugins that change objects, and those that refuse early.
///
/// # Errors
/// When a plugin refuses the request.
pub fn mutate(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<Verdict, Rejection> {
    namespace_lifecycle::admit(lister, attributes)?;
    limit_ranger::mutate(lister, attributes, object);
    service_account::mutate(lister, attributes, object)?;
    node_restriction::admit(lister, attributes, object, old)?;
    taint_nodes_by_condition::mutate(attributes, object);
    priority::mutate(lister, attributes, object, old)?;
    default_toleration_seconds::mutate(attributes, object);
    default_storage_class::mutate(lister, attributes, object);
    storage_object_in_use_protection::mutate(attributes, object);
    runtime_class::mutate(lister, attributes, object)?;
    certificates::mutate(attributes, object);
    default_ingress_class::mutate(lister, attributes, object);
    Ok(Verdict::default())
}

/// Runs the plugins that only refuse; `object` is null on delete.
///
/// # Errors
/// When a plugin refuses the request.
pub fn validate(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<Verdict, Rejection> {
    if attributes.operation == Operation::Delete {
        // Deletions have no mutating round.
        namespace_lifecycle::admit(lister, attributes)?;
        node_restriction::admit(lister, attributes, object, old)?;
        return Ok(Verdict::default());
    }
    limit_ranger::validate(lister, attributes, object)?;
    service_account::validate(lister, attributes, object)?;
    let warnings = pod_security::validate(lister, attributes, object, old)?;
    priority::validate(lister, attributes, object)?;
    persistent_volume_claim_resize::validate(lister, attributes, object, old)?;
    runtime_class::validate(lister, attributes, object)?;
    certificates::validate(lister, attributes, object, old)?;
    Ok(Verdict { warnings })
}
