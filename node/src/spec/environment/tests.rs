//! Tests of [`environment`](super): every source of a value, and the words of what is missing.

use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]}
    }))
    .unwrap()
}

fn container(value: serde_json::Value) -> Container {
    serde_json::from_value(value).unwrap()
}

fn referred() -> Referred {
    let data = ObjectData { values: [("K".to_owned(), b"v".to_vec())].into(), ..ObjectData::default() };
    [
        (ObjectKey::new(ObjectKind::ConfigMap, "ns", "cm"), Arc::new(data.clone())),
        (ObjectKey::new(ObjectKind::Secret, "ns", "s"), Arc::new(data)),
    ]
    .into()
}

fn run(container: &Container) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let links = [("DB_SERVICE_HOST".to_owned(), "10.0.0.5".to_owned())].into();
    let around = Surroundings {
        host_ips: vec!["10.1.0.1".parse().unwrap()],
        pod_ips: vec!["10.2.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        ..Surroundings::default()
    };
    Ok(environment(&pod(), container, &referred(), &links, &around)?.into_iter().collect())
}

#[test]
fn composes_values_of_all_sources() {
    let found = run(&container(json!({"name": "c", "resources": {"limits": {"memory": "64Mi"}},
        "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"secretRef": {"name": "gone", "optional": true}}],
        "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(P_K)$(NOPE)$$(A)"},
            {"name": "URL", "value": "http://$(DB_SERVICE_HOST)"},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "K"}}},
            {"name": "O", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": true}}},
            {"name": "IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}]})))
    .unwrap();
    for (name, value) in [
        ("P_K", "v"),
        ("B", "1v$(NOPE)$(A)"),
        ("URL", "http://10.0.0.5"),
        ("S", "v"),
        ("IPS", "10.2.0.1,fd00::1"),
        ("L", "x"),
        ("M", "64"),
        ("DB_SERVICE_HOST", "10.0.0.5"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!found.contains_key("O"));
}

#[test]
fn says_what_is_missing_in_the_words_of_the_status() {
    let error = |value| run(&container(value)).unwrap_err().to_string();
    assert_eq!(
        error(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "nope"}}]})),
        "configmap \"nope\" not found"
    );
    assert_eq!(
        error(
            json!({"name": "c", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "z"}}}]})
        ),
        "couldn't find key z in ConfigMap ns/cm"
    );
    assert_eq!(
        error(json!({"name": "c", "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]})),
        "unsupported fieldPath: spec.x"
    );
}
