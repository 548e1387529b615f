//! `NamespaceLifecycle`: nothing is made in a namespace that is missing or going away; the first namespaces stay. Pure over the lister.

use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::text;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn admit(lister: &dyn Lister, attributes: &Attributes<'_>) -> Result<(), Rejection> {
    let is_namespace = attributes.kind.group.is_empty() && attributes.kind.plural == "namespaces";
    if is_namespace {
        let immortal = attributes.operation == Operation::Delete && IMMORTAL.contains(&attributes.name);
        return if immortal { Err(Rejection::forbidden("this namespace may not be deleted")) } else { Ok(()) };
    }
    let is_review = attributes.kind.group == "authorization.k8s.io";
    if attributes.namespace.is_empty() || is_review || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let Some(namespace) = lister.get("", "namespaces", "", attributes.namespace) else {
        return Err(Rejection::NotFound {
            group: String::new(),
            resource: "namespaces".to_owned(),
            name: attributes.namespace.to_owned(),
        });
    };
    let terminating = text(&namespace, "/status/phase") == "Terminating";
    if attributes.operation == Operation::Create && terminating {
        return Err(Rejection::NamespaceTerminating(attributes.namespace.to_owned()));
    }
    Ok(())
}
