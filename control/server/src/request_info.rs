//! What a URL and a method ask for: verb, group, version, resource, subresource, namespace and name. From the listener; to the filters. Pure.
//!
//! The rules are those of upstream's `RequestInfoFactory` (apiserver/pkg/endpoints/request/requestinfo.go, v1.34).

use std::borrow::Cow;

use http::Method;

use crate::query::Query;

/// A request as authorization and the verbs see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource below `/api` or `/apis`.
    pub is_resource: bool,
    /// The path.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `proxy`; the method in lower case otherwise.
    pub verb: Cow<'static, str>,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace; empty when none.
    pub namespace: String,
    /// Plural.
    pub resource: String,
    /// Part below the object; empty when none.
    pub subresource: String,
    /// Object name; empty when none.
    pub name: String,
    /// The node in a field selector `spec.nodeName=x`: what kubelets may list pods by.
    pub selected_node: String,
    /// What follows the subresource, as proxies need it; no leading slash.
    pub rest: String,
}

/// Subresources of namespaces, which must not be read as resources in a namespace.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads method, path (percent-decoded) and query.
    #[must_use]
    pub fn new(method: &Method, path: &str, query: &Query) -> Self {
        let mut info =
            Self { path: path.to_owned(), verb: Cow::Owned(method.as_str().to_ascii_lowercase()), ..Self::default() };
        let parts: Vec<&str> = path.trim_matches('/').split('/').filter(|p| !p.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        info.verb = Cow::Borrowed(match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        });
        let mut rest = rest;
        // The old spelling of watches: /api/v1/watch/...
        if let ["watch", after @ ..] = rest
            && !after.is_empty()
        {
            info.verb = Cow::Borrowed("watch");
            rest = after;
        }
        let rest = match rest {
            ["namespaces", namespace, after @ ..] => {
                info.namespace = (*namespace).to_owned();
                match after {
                    [first, ..] if !NAMESPACE_SUBRESOURCES.contains(first) => after,
                    _ => rest,
                }
            }
            other => other,
        };
        let mut parts = rest.iter().map(|part| (*part).to_owned());
        info.resource = parts.next().unwrap_or_default();
        info.name = parts.next().unwrap_or_default();
        info.subresource = parts.next().unwrap_or_default();
        info.rest = parts.collect::<Vec<_>>().join("/");
        info.refine_verb(query);
        info
    }

    /// A read without a name is a list or a watch; a delete without one deletes a collection. A field selector
    /// for one name lets rules with `resourceNames` apply.
    fn refine_verb(&mut self, query: &Query) {
        if !self.name.is_empty() {
            return;
        }
        match self.verb.as_ref() {
            "get" => {
                let watch = query.is_true("watch");
                self.verb = Cow::Borrowed(if watch { "watch" } else { "list" });
            }
            "delete" => self.verb = Cow::Borrowed("deletecollection"),
            _ => {}
        }
        if matches!(self.verb.as_ref(), "list" | "watch" | "deletecollection")
            && let Some(name) = query.get("fieldSelector").and_then(|s| single_value(s, "metadata.name="))
        {
            self.name = name;
        }
        if matches!(self.verb.as_ref(), "list" | "watch" | "deletecollection")
            && let Some(node) = query.get("fieldSelector").and_then(|s| single_value(s, "spec.nodeName="))
        {
            self.selected_node = node;
        }
    }

    /// Whether the request changes something.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        matches!(self.verb.as_ref(), "create" | "update" | "patch" | "delete" | "deletecollection" | "post" | "put")
    }

    /// Whether the URL itself names an object (a field selector may also have given the name).
    #[must_use]
    pub fn path_has_name(&self) -> bool {
        !self.name.is_empty() && !matches!(self.verb.as_ref(), "list" | "watch" | "deletecollection")
    }

    /// Whether the request lasts as long as the client likes: watches and streams.
    #[must_use]
    pub fn is_long_running(&self) -> bool {
        self.verb == "watch"
            || (self.is_resource
                && matches!(self.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy" | "log"))
    }
}

/// The value in `metadata.name=x` and the like when the selector asks for exactly one.
fn single_value(selector: &str, start: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix(start)?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests;
