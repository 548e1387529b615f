//! Deletions by kind, grace period and finalizers.

use serde_json::{Value, json};
use skep_api::kinds;

use super::{DeleteOptions, Plan, Propagation, plan};

const NOW: &str = "2026-01-02T03:04:05Z";

fn of(group: &str, plural: &str, object: &Value, asked: &DeleteOptions) -> Plan {
    let kind = kinds::builtin().all().iter().find(|k| k.group == group && k.plural == plural).expect("kind");
    plan(kind, object, asked, NOW)
}

fn marked(plan: Plan) -> (Value, bool) {
    match plan {
        Plan::Mark { object, then_gone } => (object, then_gone),
        Plan::Nothing | Plan::Gone => panic!("not marked: {plan:?}"),
    }
}

#[test]
fn plain_objects_go_at_once() {
    let object = json!({"metadata": {"name": "a"}});
    assert_eq!(of("", "configmaps", &object, &DeleteOptions::default()), Plan::Gone);
    let with = json!({"metadata": {"name": "a", "generation": 3, "finalizers": ["e.com/a"]}});
    let (object, gone) = marked(of("", "configmaps", &with, &DeleteOptions::default()));
    assert!(!gone);
    assert_eq!(object["metadata"]["deletionTimestamp"], NOW);
    assert_eq!(
        (&object["metadata"]["deletionGracePeriodSeconds"], &object["metadata"]["generation"]),
        (&json!(0), &json!(4))
    );
}

#[test]
fn propagation_becomes_a_finalizer() {
    let object = json!({"metadata": {"name": "a"}});
    for (propagation, finalizer) in [(Propagation::Orphan, "orphan"), (Propagation::Foreground, "foregroundDeletion")] {
        let asked = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let (object, gone) = marked(of("apps", "deployments", &object, &asked));
        assert_eq!(object["metadata"]["finalizers"], json!([finalizer]));
        assert!(!gone);
    }
    let foreground = json!({"metadata": {"name": "a", "finalizers": ["foregroundDeletion"]}});
    let asked = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    assert_eq!(of("apps", "deployments", &foreground, &asked), Plan::Gone);
}

#[test]
fn pods_get_time() {
    let pod = json!({"metadata": {"name": "p", "generation": 1}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
    let (deleted, gone) = marked(of("", "pods", &pod, &DeleteOptions::default()));
    assert_eq!(deleted["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    assert_eq!(
        (&deleted["metadata"]["deletionGracePeriodSeconds"], &deleted["metadata"]["generation"], gone),
        (&json!(30), &json!(2), false)
    );
    assert_eq!(of("", "pods", &deleted, &DeleteOptions::default()), Plan::Nothing);
    let shorter = DeleteOptions { grace_period_seconds: Some(5), ..DeleteOptions::default() };
    let (shortened, _) = marked(of("", "pods", &deleted, &shorter));
    assert_eq!(shortened["metadata"]["deletionTimestamp"], "2026-01-02T03:04:10Z");
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    let (half_gone, gone) = marked(of("", "pods", &deleted, &now));
    assert!(gone);
    // The server died before the second write: the next request finishes it, as long as nothing holds the pod.
    assert_eq!(marked(of("", "pods", &half_gone, &now)), (half_gone.clone(), true));
    assert_eq!(of("", "pods", &half_gone, &DeleteOptions::default()), Plan::Nothing);
    let mut held = half_gone;
    held["metadata"]["finalizers"] = json!(["e.com/a"]);
    assert_eq!(of("", "pods", &held, &now), Plan::Nothing);
}

#[test]
fn namespaces_wait_for_their_controller() {
    let namespace =
        json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let (terminating, gone) = marked(of("", "namespaces", &namespace, &DeleteOptions::default()));
    assert_eq!(terminating["status"]["phase"], "Terminating");
    assert!(!gone);
    let mut empty = terminating;
    empty["spec"]["finalizers"] = json!([]);
    assert_eq!(of("", "namespaces", &empty, &DeleteOptions::default()), Plan::Gone);
}
