//! The table of types and canonical form; pure.

use serde_json::json;

use super::*;

#[test]
fn every_type_parses_and_every_reference_resolves() {
    let names: Vec<&str> = builtin_names().collect();
    assert!(names.len() > 500);
    for name in names {
        let object = builtin(name).expect("named");
        assert_eq!(object.get().name, name);
        assert!(!object.get().fields().iter().any(|f| f.name.is_empty()));
    }
}

#[test]
fn fields_carry_what_the_sources_say() {
    let spec = builtin("io.k8s.api.core.v1.ServiceSpec").expect("there");
    let ports = spec.get().field("ports").expect("there");
    assert_eq!(ports.topology, Topology::Map(vec!["port".into(), "protocol".into()]));
    assert_eq!(ports.patch.key.as_deref(), Some("port"));
    assert_eq!(spec.get().field("selector").map(|f| f.topology.clone()), Some(Topology::Atomic));
    let volume = builtin("io.k8s.api.core.v1.Volume").expect("there");
    assert_eq!(volume.get().field("emptyDir").map(|f| f.tags.to_vec()), Some(vec![2, 2]));
    let data = builtin("io.k8s.api.core.v1.Secret").expect("there");
    assert!(matches!(data.get().field("data").map(|f| &f.ty), Some(Type::Map(v)) if matches!(**v, Type::Bytes)));
}

#[test]
fn descriptions_unpack() {
    let words = descriptions();
    assert!(words.of_type("io.k8s.api.core.v1.Pod").is_some_and(|d| d.contains("Pod is a collection")));
    assert!(words.of_field("io.k8s.api.core.v1.PodSpec", "nodeName").is_some());
    assert!(words.of_field("io.k8s.api.core.v1.PodSpec", "nope").is_none());
}

#[test]
fn canonical_form_is_that_of_go() {
    let pod = builtin("io.k8s.api.core.v1.Pod").expect("there");
    let mut value = json!({
        "metadata": {"name": "p", "labels": {}, "finalizers": []},
        "spec": {
            "hostNetwork": false, "nodeName": "", "automountServiceAccountToken": false, "priority": 0,
            "containers": [{"name": "c", "command": [], "ports": [{"hostPort": 0}]}],
            "volumes": [{"name": "v", "emptyDir": {}}]
        },
        "status": {"conditions": [{"type": "T", "status": "True"}]}
    });
    canonical::canonicalize(pod.get(), &mut value);
    let expected = json!({
        "metadata": {"name": "p"},
        "spec": {
            "automountServiceAccountToken": false, "priority": 0,
            "containers": [{"name": "c", "ports": [{"containerPort": 0}], "resources": {}}],
            "volumes": [{"name": "v", "emptyDir": {}}]
        },
        "status": {"conditions": [{"type": "T", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}]}
    });
    assert_eq!(value, expected);
    let again = {
        let mut v = value.clone();
        canonical::canonicalize(pod.get(), &mut v);
        v
    };
    assert_eq!(again, value);
}
