//! The table of built-in kinds; pure.

use serde_json::Value;

use super::*;
use crate::decode::{FieldValidation, MediaType, decode};
use crate::object::{CreateContext, canonicalize, prepare_create, validate_create};

#[test]
fn every_kind_has_a_schema() {
    for kind in builtin().all() {
        assert!(kind.schema.get().field("apiVersion").is_some(), "{} has no schema", kind.gvk_text());
    }
}

#[test]
fn names_and_subresources() {
    let deployments = builtin().by_resource("apps", "v1", "deployments").expect("in the table");
    assert_eq!(deployments.group_resource(), "deployments.apps");
    let scale = deployments.subresource("scale").expect("in the table");
    assert_eq!((scale.group.as_str(), scale.version.as_str(), scale.kind.as_str()), ("autoscaling", "v1", "Scale"));
    assert_eq!(builtin().by_kind("", "v1", "Node").map(|k| k.storage_prefix.as_str()), Some("minions"));
    let groups = builtin().groups();
    assert_eq!(groups.first(), Some(&("", vec!["v1"])));
    assert!(groups.contains(&("autoscaling", vec!["v2", "v1"])));
}

#[test]
fn reviews_are_not_stored() {
    let review = builtin().by_kind("authorization.k8s.io", "v1", "SubjectAccessReview").expect("in the table");
    assert!(!review.is_stored());
}

/// Objects and what Kubernetes v1.34 answered to their creation, one per line; UIDs are `u`, times 2026-01-01.
fn recorded(lines: &str) -> impl Iterator<Item = (Arc<Kind>, Value, Value)> {
    lines.lines().map(|line| {
        let mut fact: Value = serde_json::from_str(line).expect("a line is a JSON object");
        let path: Vec<&str> = fact["path"].as_str().expect("a path").split('/').collect();
        let kind = Arc::clone(builtin().by_resource(path[0], path[1], path[2]).expect("a built-in kind"));
        (kind, fact["object"].take(), fact)
    })
}

/// Takes an object the way a create takes it, without admission.
fn create(kind: &Kind, object: &Value) -> Result<Value, Vec<String>> {
    let body = object.to_string();
    let decoded = decode(body.as_bytes(), MediaType::Json, kind, FieldValidation::Ignore).expect("decodes");
    let mut object = decoded.object;
    let namespace = if kind.scope == Scope::Namespaced { "ns" } else { "" };
    let context = CreateContext { namespace, now: "2026-01-01T00:00:00Z", uid: "u", name_suffix: "abcde" };
    prepare_create(kind, &mut object, &context).expect("namespaces agree");
    validate_create(kind, &object).map_err(|invalid| {
        let mut errors: Vec<String> = invalid.errors.iter().map(ToString::to_string).collect();
        errors.sort_unstable();
        errors
    })?;
    canonicalize(kind, &mut object);
    Ok(object)
}

#[test]
fn bad_objects_are_refused_in_upstream_s_words() {
    for (kind, object, fact) in recorded(include_str!("testdata/refused.jsonl")) {
        let wanted: Vec<String> = serde_json::from_value(fact["refused"].clone()).expect("texts");
        assert_eq!(create(&kind, &object), Err(wanted), "{object}");
    }
}

#[test]
fn good_objects_get_upstream_s_defaults() {
    for (kind, object, fact) in recorded(include_str!("testdata/made.jsonl")) {
        assert_eq!(create(&kind, &object).as_ref(), Ok(&fact["made"]), "{object}");
    }
}

#[test]
fn a_pods_own_address_and_its_list_mirror_each_other() {
    use serde_json::json;

    let defaulted = |status: Value| {
        let mut pod = json!({"spec": {"containers": []}, "status": status});
        builtin().by_kind("", "v1", "Pod").expect("in the table").strategy.defaults(&mut pod);
        pod["status"].clone()
    };
    assert_eq!(defaulted(json!({"podIP": "10.0.0.1"}))["podIPs"], json!([{"ip": "10.0.0.1"}]));
    assert_eq!(defaulted(json!({"podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::1"}]}))["podIP"], "10.0.0.2");
    assert_eq!(
        defaulted(json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}]}))["podIPs"],
        json!([{"ip": "10.0.0.1"}])
    );
}
