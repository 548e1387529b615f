//! The table of built-in kinds; pure.

use super::*;

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
