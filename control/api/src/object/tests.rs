//! The way of objects to storage; pure.

use serde_json::json;

use super::*;
use crate::kinds::builtin;

const CONTEXT: CreateContext<'_> =
    CreateContext { namespace: "ns", now: "2026-01-02T03:04:05Z", uid: "u-1", name_suffix: "x2z4b" };

fn kind(group: &str, name: &str) -> &'static Kind {
    builtin().by_kind(group, "v1", name).expect("in the table")
}

#[test]
fn a_create_sets_metadata_and_drops_status() {
    let mut object = json!({"metadata": {"generateName": "d-", "uid": "mine", "generation": 7}, "spec": {}, "status": {"replicas": 3}});
    let deployments = kind("apps", "Deployment");
    prepare_create(deployments, &mut object, &CONTEXT).expect("same namespace");
    let expected = json!({"generateName": "d-", "name": "d-x2z4b", "namespace": "ns", "uid": "u-1", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"});
    assert_eq!(object["metadata"], expected);
    assert_eq!(object["status"], json!({}));
    let mut elsewhere = json!({"metadata": {"name": "a", "namespace": "other"}});
    assert_eq!(prepare_create(deployments, &mut elsewhere, &CONTEXT), Err(NamespaceMismatch));
}

#[test]
fn generated_names_fit_a_label() {
    assert_eq!(generated_name(&"a".repeat(80), "12345").len(), 63);
    assert_eq!(generated_name("", "12345"), "");
}

#[test]
fn metadata_is_checked() {
    let object = json!({"metadata": {"namespace": "ns", "labels": {"a": "-"}, "finalizers": ["x"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}});
    let error = validate_create(kind("", "ConfigMap"), &object).expect_err("many things are wrong");
    let fields: Vec<&str> = error.errors.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(fields, ["metadata.name", "metadata.labels", "metadata.ownerReferences.uid", "metadata.finalizers[0]"]);
}

#[test]
fn an_update_keeps_the_other_part_and_counts() {
    let deployments = kind("apps", "Deployment");
    let old = json!({"metadata": {"name": "d", "namespace": "ns", "uid": "u", "generation": 3, "creationTimestamp": "t"}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let mut new =
        json!({"metadata": {"name": "d", "generation": 9}, "spec": {"replicas": 2}, "status": {"replicas": 5}});
    prepare_update(deployments, Part::Whole, &mut new, &old);
    assert_eq!((meta::generation(&new), meta::uid(&new), &new["status"]["replicas"]), (4, "u", &json!(1)));
    let mut new = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2}, "status": {"replicas": 5}});
    prepare_update(deployments, Part::Status, &mut new, &old);
    assert_eq!(
        (meta::generation(&new), &new["spec"]["replicas"], &new["status"]["replicas"]),
        (3, &json!(1), &json!(5))
    );
    new["metadata"]["uid"] = json!("other");
    let error = validate_update(deployments, Part::Whole, &new, &old).expect_err("uid");
    assert!(error.to_string().contains("metadata.uid: Invalid value: \"other\": field is immutable"), "{error}");
}

#[test]
fn finalizers_cannot_be_added_while_deleting() {
    let old = json!({"metadata": {"name": "c", "namespace": "ns", "deletionTimestamp": "t", "finalizers": ["a.b/c"]}});
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["a.b/c", "d.e/f"]);
    let error = validate_update(kind("", "ConfigMap"), Part::Whole, &new, &old).expect_err("added");
    let words = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"d.e/f\"}";
    assert!(error.to_string().ends_with(words), "{error}");
}
