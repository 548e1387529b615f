//! Nobody may grant rights they do not have: checks roles and bindings that are about to be written. From the verbs; to 403. Pure over
//! the caches.
//!
//! Who has the verb `escalate` on a role, or `bind` on the role a binding names, may.

use std::borrow::Cow;

use serde_json::Value;
use skep_api::field::go_quote;
use skep_api::kinds::Kind;
use skep_api::meta;

use super::{Action, Decision, decide, rbac};
use crate::admission::Lister;
use crate::identity::{MASTERS, User};
use crate::status::{ApiError, ResourceName};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks a role or binding that `user` wants to write; other kinds pass.
///
/// # Errors
/// 403 naming the missing rights.
pub fn check(
    lister: &dyn Lister,
    user: &User,
    kind: &Kind,
    namespace: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if kind.group != GROUP || user.is_in(MASTERS) {
        return Ok(());
    }
    let is_role = matches!(kind.plural.as_str(), "roles" | "clusterroles");
    let unchanged = |field: &str| old.is_some_and(|old| old.get(field) == new.get(field));
    let (rules, verb, resource, name) = if is_role {
        if unchanged("rules") && unchanged("aggregationRule") {
            return Ok(());
        }
        (new.get("rules").cloned(), "escalate", kind.plural.as_str(), meta::name(new))
    } else {
        if unchanged("subjects") && unchanged("roleRef") {
            return Ok(());
        }
        let role_ref =
            |field: &str| new.pointer(&format!("/roleRef/{field}")).and_then(Value::as_str).unwrap_or_default();
        let (plural, scope) =
            if role_ref("kind") == "ClusterRole" { ("clusterroles", "") } else { ("roles", namespace) };
        if may(lister, user, "bind", plural, namespace, role_ref("name")) {
            return Ok(());
        }
        let Some(role) = lister.get(GROUP, plural, scope, role_ref("name")) else {
            return Err(ApiError::not_found(ResourceName { group: GROUP, resource: plural }, role_ref("name")));
        };
        (role.get("rules").cloned(), "bind", kind.plural.as_str(), meta::name(new))
    };
    if verb == "escalate" && may(lister, user, verb, resource, namespace, name) {
        return Ok(());
    }
    let held = held_rules(lister, user, namespace);
    let missing: Vec<String> = rules
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|rule| !covered(&held, rule))
        .map(show)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|g| go_quote(g)).collect();
    let why = format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        go_quote(&user.name),
        groups.join(" "),
        missing.join("\n")
    );
    Err(ApiError::forbidden(ResourceName { group: GROUP, resource: &kind.plural }, name, why))
}

fn may(lister: &dyn Lister, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let action = Action {
        verb: Cow::Borrowed(verb),
        is_resource: true,
        group: Cow::Borrowed(GROUP),
        version: Cow::Borrowed("v1"),
        resource: Cow::Borrowed(resource),
        namespace: Cow::Borrowed(namespace),
        name: Cow::Borrowed(name),
        ..Action::default()
    };
    matches!(decide(lister, user, &action), Decision::Allow(_))
}

fn held_rules(lister: &dyn Lister, user: &User, namespace: &str) -> Vec<Value> {
    let mut held = Vec::new();
    rbac::visit_rules(lister, user, namespace, &mut |rule, _| {
        held.push(rule.clone());
        true
    });
    held
}

fn list<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether every single right of `rule` is given by one of `held`.
fn covered(held: &[Value], rule: &Value) -> bool {
    let names = list(rule, "resourceNames");
    let names = if names.is_empty() { vec![""] } else { names };
    let resources = list(rule, "apiGroups").into_iter().flat_map(|group| {
        let names = names.clone();
        list(rule, "resources")
            .into_iter()
            .flat_map(move |resource| names.clone().into_iter().map(move |name| (group, resource, name)))
    });
    let resources: Vec<(&str, &str, &str)> = resources.collect();
    list(rule, "verbs").iter().all(|verb| {
        resources.iter().all(|(group, resource, name)| {
            held.iter().any(|have| grants(have, verb, "apiGroups", group) && resource_granted(have, resource, name))
        }) && list(rule, "nonResourceURLs").iter().all(|url| {
            held.iter().any(|have| {
                list(have, "verbs").iter().any(|v| v == verb || *v == "*")
                    && list(have, "nonResourceURLs").iter().any(|u| {
                        u == url || *u == "*" || u.strip_suffix('*').is_some_and(|start| url.starts_with(start))
                    })
            })
        })
    })
}

fn grants(have: &Value, verb: &str, field: &str, value: &str) -> bool {
    list(have, "verbs").iter().any(|v| *v == verb || *v == "*")
        && list(have, field).iter().any(|g| *g == value || *g == "*")
}

fn resource_granted(have: &Value, resource: &str, name: &str) -> bool {
    let subresource = resource.split_once('/').map(|(_, s)| s);
    let by_resource = list(have, "resources")
        .iter()
        .any(|r| *r == "*" || *r == resource || (subresource.is_some() && r.strip_prefix("*/") == subresource));
    let names = list(have, "resourceNames");
    by_resource && (names.is_empty() || (!name.is_empty() && names.contains(&name)))
}

/// A rule as upstream prints it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
fn show(rule: &Value) -> String {
    let fields = [
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    ];
    let parts: Vec<String> = fields
        .iter()
        .map(|(shown, field)| (shown, list(rule, field)))
        .filter(|(_, values)| !values.is_empty())
        .map(|(shown, values)| {
            let values: Vec<String> = values.iter().map(|v| go_quote(v)).collect();
            format!("{shown}:[{}]", values.join(" "))
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{covered, show};

    #[test]
    fn covers() {
        let held = [
            json!({"apiGroups": [""], "resources": ["pods", "*/log"], "verbs": ["get", "list"]}),
            json!({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}),
        ];
        assert!(covered(&held, &json!({"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]})));
        assert!(covered(
            &held,
            &json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]})
        ));
        assert!(covered(
            &held,
            &json!({"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]})
        ));
        assert!(!covered(&held, &json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]})));
        assert!(!covered(&held, &json!({"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]})));
        assert!(!covered(&held, &json!({"nonResourceURLs": ["/x"], "verbs": ["get"]})));
    }

    #[test]
    fn shows() {
        let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]});
        assert_eq!(show(&rule), "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}");
    }
}
