//! Rules and actions.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Action, rule_allows};

fn action(verb: &'static str, group: &'static str, resource: &'static str, name: &'static str) -> Action<'static> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Action {
        verb: Cow::Borrowed(verb),
        is_resource: true,
        group: Cow::Borrowed(group),
        resource: Cow::Borrowed(resource),
        subresource: Cow::Borrowed(subresource),
        name: Cow::Borrowed(name),
        ..Action::default()
    }
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names})
}

#[test]
fn resources() {
    let pods = rule(&[""], &["pods", "pods/log"], &["get"], &[]);
    assert!(rule_allows(&pods, &action("get", "", "pods", "x")));
    assert!(rule_allows(&pods, &action("get", "", "pods/log", "x")));
    assert!(!rule_allows(&pods, &action("get", "", "pods/exec", "x")));
    assert!(!rule_allows(&pods, &action("list", "", "pods", "")));
    assert!(!rule_allows(&pods, &action("get", "apps", "pods", "x")));
    let scales = rule(&["*"], &["*/scale"], &["*"], &[]);
    assert!(rule_allows(&scales, &action("patch", "apps", "deployments/scale", "x")));
    assert!(!rule_allows(&scales, &action("patch", "apps", "deployments", "x")));
    let named = rule(&[""], &["secrets"], &["get"], &["a"]);
    assert!(rule_allows(&named, &action("get", "", "secrets", "a")));
    assert!(!rule_allows(&named, &action("get", "", "secrets", "b")));
}

#[test]
fn paths() {
    let rule = json!({"nonResourceURLs": ["/healthz/*", "/version"], "verbs": ["get"]});
    let path = |path: &'static str| Action { verb: "get".into(), path: Cow::Borrowed(path), ..Action::default() };
    assert!(rule_allows(&rule, &path("/healthz/etcd")));
    assert!(rule_allows(&rule, &path("/version")));
    assert!(!rule_allows(&rule, &path("/versions")));
}
