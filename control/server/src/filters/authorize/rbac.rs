//! Role-based access control: bindings → roles → rules. From [`super`]; to it. Pure over the caches.

use serde_json::Value;
use skep_api::field::go_quote;
use skep_api::meta;

use super::{Action, Decision};
use crate::admission::Lister;
use crate::identity::User;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Looks for a rule that allows the action.
pub(super) fn decide(lister: &dyn Lister, user: &User, action: &Action<'_>) -> Decision {
    let mut allowed = None;
    visit_rules(lister, user, &action.namespace, &mut |rule, why| {
        if rule_allows(rule, action) {
            allowed = Some(format!("RBAC: allowed by {why}"));
        }
        allowed.is_none()
    });
    allowed.map_or_else(|| Decision::NoOpinion(String::new()), Decision::Allow)
}

/// A callback for every rule that applies; false ends the visit.
pub(crate) type RuleVisitor<'a> = dyn FnMut(&Value, &dyn std::fmt::Display) -> bool + 'a;

/// Visits all rules that apply to a user in a namespace (empty: at cluster scope).
pub(crate) fn visit_rules(lister: &dyn Lister, user: &User, namespace: &str, visit: &mut RuleVisitor<'_>) {
    let of_cluster = ("ClusterRoleBinding", "");
    let of_namespace = (!namespace.is_empty()).then_some(("RoleBinding", namespace));
    for (kind, scope) in [of_cluster].into_iter().chain(of_namespace) {
        for binding in lister.bindings(user, scope) {
            let Some(subject) = subjects(&binding).iter().find(|s| applies(s, user, scope)) else { continue };
            let role_ref = binding.get("roleRef").unwrap_or(&Value::Null);
            let (role_kind, role_name) = (text(role_ref, "kind"), text(role_ref, "name"));
            let role = match role_kind {
                "ClusterRole" => lister.get(GROUP, "clusterroles", "", role_name),
                "Role" if !scope.is_empty() => lister.get(GROUP, "roles", scope, role_name),
                _ => None,
            };
            let Some(role) = role else { continue };
            let why = Why { kind, binding: &binding, scope, role_kind, role_name, subject };
            for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
                if !visit(rule, &why) {
                    return;
                }
            }
        }
    }
}

struct Why<'a> {
    kind: &'a str,
    binding: &'a Value,
    scope: &'a str,
    role_kind: &'a str,
    role_name: &'a str,
    subject: &'a Value,
}

impl std::fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let binding = if self.scope.is_empty() {
            meta::name(self.binding).to_owned()
        } else {
            format!("{}/{}", meta::name(self.binding), self.scope)
        };
        let (kind, name) = (text(self.subject, "kind"), text(self.subject, "name"));
        let subject = if kind == "ServiceAccount" {
            format!("{name}/{}", subject_namespace(self.subject, self.scope))
        } else {
            name.to_owned()
        };
        let (binding, role, subject) = (go_quote(&binding), go_quote(self.role_name), go_quote(&subject));
        write!(f, "{} {binding} of {} {role} to {kind} {subject}", self.kind, self.role_kind)
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn subjects(binding: &Value) -> &[Value] {
    binding.get("subjects").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn subject_namespace<'a>(subject: &'a Value, scope: &'a str) -> &'a str {
    Some(text(subject, "namespace")).filter(|n| !n.is_empty()).unwrap_or(scope)
}

fn applies(subject: &Value, user: &User, scope: &str) -> bool {
    let name = text(subject, "name");
    match text(subject, "kind") {
        "User" => user.name == name,
        "Group" => user.is_in(name),
        "ServiceAccount" => {
            let namespace = subject_namespace(subject, scope);
            !namespace.is_empty()
                && user
                    .name
                    .strip_prefix("system:serviceaccount:")
                    .and_then(|rest| rest.split_once(':'))
                    .is_some_and(|(n, account)| n == namespace && account == name)
        }
        _ => false,
    }
}

fn has(rule: &Value, field: &str, matches: impl Fn(&str) -> bool) -> bool {
    let entries = rule.get(field).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(Value::as_str).any(matches)
}

/// Whether one rule allows an action.
pub(crate) fn rule_allows(rule: &Value, action: &Action<'_>) -> bool {
    if !has(rule, "verbs", |verb| verb == "*" || verb == action.verb) {
        return false;
    }
    if !action.is_resource {
        return has(rule, "nonResourceURLs", |url| url_matches(url, &action.path));
    }
    let resource = action.full_resource();
    let any_resource = |entry: &str| {
        entry == "*"
            || entry == resource
            || (!action.subresource.is_empty()
                && entry.strip_prefix("*/").is_some_and(|subresource| subresource == action.subresource))
    };
    has(rule, "apiGroups", |group| group == "*" || group == action.group)
        && has(rule, "resources", any_resource)
        && (rule.get("resourceNames").and_then(Value::as_array).is_none_or(Vec::is_empty)
            || has(rule, "resourceNames", |name| name == action.name))
}

fn url_matches(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests;
