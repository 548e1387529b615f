//! Tests of [`pod`](super): defaults, classes, roles.

use serde_json::json;

use super::*;

fn pod(value: serde_json::Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

fn policy(image: &str) -> String {
    pull_policy(&Container { image: Some(image.to_owned()), ..Container::default() }).to_owned()
}

#[test]
fn pull_policy_defaults_by_tag() {
    assert_eq!(policy("busybox"), "Always");
    assert_eq!(policy("busybox:latest"), "Always");
    assert_eq!(policy("busybox:1.36"), "IfNotPresent");
    assert_eq!(policy("host:5000/busybox"), "Always");
    assert_eq!(policy("host:5000/busybox:v1"), "IfNotPresent");
    assert_eq!(policy("busybox@sha256:00"), "IfNotPresent");
}

#[test]
fn qos_by_requests_and_limits() {
    let with =
        |resources: serde_json::Value| pod(json!({"spec": {"containers": [{"name": "c", "resources": resources}]}}));
    assert_eq!(qos(&with(json!({}))), Qos::BestEffort);
    assert_eq!(qos(&with(json!({"requests": {"cpu": "1"}}))), Qos::Burstable);
    assert_eq!(qos(&with(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))), Qos::Guaranteed);
    assert_eq!(
        qos(&with(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}))),
        Qos::Burstable
    );
}

#[test]
fn containers_in_order_of_start_with_roles() {
    let pod = pod(json!({"spec": {
        "containers": [{"name": "app"}],
        "initContainers": [{"name": "first"}, {"name": "side", "restartPolicy": "Always"}],
        "ephemeralContainers": [{"name": "debug"}]}}));
    let roles: Vec<_> = containers(&pod).into_iter().map(|(role, c)| (role, c.name)).collect();
    assert_eq!(
        roles,
        [
            (Role::Init, "first".to_owned()),
            (Role::Sidecar, "side".to_owned()),
            (Role::App, "app".to_owned()),
            (Role::Ephemeral, "debug".to_owned())
        ]
    );
}

#[test]
fn hash_follows_name_and_image_only() {
    let a = Container { name: "a".into(), image: Some("x".into()), ..Container::default() };
    let mut b = a.clone();
    b.command = Some(vec!["true".into()]);
    assert_eq!(container_hash(&a), container_hash(&b));
    b.image = Some("y".into());
    assert_ne!(container_hash(&a), container_hash(&b));
}
