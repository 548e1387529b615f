//! Whether a user may do what a request asks: the node authorizer, then RBAC. From request info; to the verbs and to access reviews.

pub mod escalation;
pub mod node;
pub mod rbac;

use std::borrow::Cow;

use crate::admission::Lister;
use crate::identity::{MASTERS, User};
use crate::request_info::RequestInfo;
use crate::status::{ApiError, ResourceName};

/// What is asked for, as rules see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action<'a> {
    /// Verb.
    pub verb: Cow<'a, str>,
    /// Whether it is about a resource; otherwise only `path` counts.
    pub is_resource: bool,
    /// API group.
    pub group: Cow<'a, str>,
    /// API version.
    pub version: Cow<'a, str>,
    /// Plural.
    pub resource: Cow<'a, str>,
    /// Subresource; may be empty.
    pub subresource: Cow<'a, str>,
    /// Namespace; empty at cluster scope.
    pub namespace: Cow<'a, str>,
    /// Name; may be empty.
    pub name: Cow<'a, str>,
    /// The node that a field selector limits the request to; may be empty.
    pub selected_node: Cow<'a, str>,
    /// Path of a request that is not about a resource.
    pub path: Cow<'a, str>,
}

impl<'a> Action<'a> {
    /// The action of a request.
    #[must_use]
    pub fn of(info: &'a RequestInfo) -> Self {
        Self {
            verb: Cow::Borrowed(&info.verb),
            is_resource: info.is_resource,
            group: Cow::Borrowed(&info.group),
            version: Cow::Borrowed(&info.version),
            resource: Cow::Borrowed(&info.resource),
            subresource: Cow::Borrowed(&info.subresource),
            namespace: Cow::Borrowed(&info.namespace),
            name: Cow::Borrowed(&info.name),
            selected_node: Cow::Borrowed(&info.selected_node),
            path: Cow::Borrowed(&info.path),
        }
    }

    /// The resource as rules write it: `pods/log`.
    #[must_use]
    pub fn full_resource(&self) -> Cow<'_, str> {
        if self.subresource.is_empty() {
            Cow::Borrowed(&self.resource)
        } else {
            Cow::Owned(format!("{}/{}", self.resource, self.subresource))
        }
    }
}

/// An authorizer's answer with the reason access reviews show; the reason may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow(String),
    /// Nobody says yes.
    NoOpinion(String),
}

/// Asks the authorizers in order.
#[must_use]
pub fn decide(lister: &dyn Lister, user: &User, action: &Action<'_>) -> Decision {
    if user.is_in(MASTERS) {
        return Decision::Allow(String::new());
    }
    let mut reasons = Vec::new();
    for decision in [node::decide(lister, user, action), rbac::decide(lister, user, action)] {
        match decision {
            Decision::Allow(reason) => return Decision::Allow(reason),
            Decision::NoOpinion(reason) if !reason.is_empty() => reasons.push(reason),
            Decision::NoOpinion(_) => {}
        }
    }
    Decision::NoOpinion(reasons.join("\n"))
}

/// The 403 for an action nobody allows.
#[must_use]
pub fn forbidden(user: &User, action: &Action<'_>, reason: &str) -> ApiError {
    let name = ResourceName { group: &action.group, resource: &action.resource };
    let mut why = sanitize(&explain(user, action));
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    ApiError::forbidden(name, &action.name, why)
}

fn explain(user: &User, action: &Action<'_>) -> String {
    use skep_api::field::go_quote as quote;
    let (user, verb) = (quote(&user.name), &action.verb);
    if !action.is_resource {
        return format!("User {user} cannot {verb} path {}", quote(&action.path));
    }
    let (resource, group) = (quote(&action.full_resource()), quote(&action.group));
    if action.namespace.is_empty() {
        format!("User {user} cannot {verb} resource {resource} in API group {group} at the cluster scope")
    } else {
        let namespace = quote(&action.namespace);
        format!("User {user} cannot {verb} resource {resource} in API group {group} in the namespace {namespace}")
    }
}

fn sanitize(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
