//! Tests of the objects a cluster starts with.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skep_api::kinds::builtin;

use super::*;

fn find(kind: &str, name: &str) -> Value {
    objects().into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
}

#[test]
fn every_object_has_a_kind_and_is_there_once() {
    let objects = objects();
    let mut seen = BTreeSet::new();
    for object in &objects {
        assert!(builtin().of_object(object).is_some(), "{object}");
        let name = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        assert!(seen.insert((object["kind"].to_string(), name("namespace"), name("name"))));
    }
    let count = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!((count("Namespace"), count("ClusterRole"), count("ClusterRoleBinding")), (4, 69, 50));
    assert_eq!(
        (count("Role"), count("RoleBinding"), count("FlowSchema"), count("PriorityLevelConfiguration")),
        (7, 7, 11, 8)
    );
}

#[test]
fn default_roles_are_marked() {
    let view = find("ClusterRole", "view");
    assert_eq!(view["metadata"]["annotations"], json!({"rbac.authorization.kubernetes.io/autoupdate": "true"}));
    assert_eq!(
        view["metadata"]["labels"],
        json!({"kubernetes.io/bootstrapping": "rbac-defaults", "rbac.authorization.k8s.io/aggregate-to-edit": "true"})
    );
}

#[test]
fn missing_rights_come_back_and_additions_stay() {
    let wanted = find("ClusterRole", "system:discovery");
    assert_eq!(reconcile(&wanted, &wanted), None);
    let mut existing = wanted.clone();
    let own = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    existing["rules"] = json!([own]);
    let repaired = reconcile(&existing, &wanted).unwrap();
    assert_eq!(repaired["rules"][0], own);
    assert_eq!(repaired["rules"].as_array().unwrap().len(), 1 + wanted["rules"].as_array().unwrap().len());
    existing["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
    assert_eq!(reconcile(&existing, &wanted), None);
}

#[test]
fn bindings_and_flow_control() {
    let wanted = find("ClusterRoleBinding", "cluster-admin");
    let mut existing = wanted.clone();
    existing["subjects"] = json!([]);
    assert_eq!(reconcile(&existing, &wanted).unwrap()["subjects"], wanted["subjects"]);
    let wanted = find("FlowSchema", "probes");
    let mut existing = wanted.clone();
    existing["spec"]["more"] = json!("a default");
    assert_eq!(reconcile(&existing, &wanted), None);
    existing["spec"]["matchingPrecedence"] = json!(77);
    assert_eq!(reconcile(&existing, &wanted).unwrap()["spec"], wanted["spec"]);
}
