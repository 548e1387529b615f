//! Bytes in, bytes out.

use serde_json::{Value, json};
use skep_api::kinds;

use super::Object;

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d", "uid": "u", "labels": {"a": "1", "b": "2"}},
        "spec": {"nodeName": "n"}, "status": {"phase": "Running"}})
}

#[test]
fn splices_the_resource_version() {
    let kind = kinds::builtin().by_resource("", "v1", "pods").expect("pods");
    let stored = serde_json::to_vec(&pod()).expect("json");
    let object = Object::from_stored(&stored, 7, kind).expect("object");
    let mut expected = pod();
    expected["metadata"]["resourceVersion"] = json!("7");
    assert_eq!(object.to_value(), expected);
    assert_eq!((object.label("b"), object.label("c")), (Some("2"), None));
    let later = object.at_revision(12345);
    expected["metadata"]["resourceVersion"] = json!("12345");
    assert_eq!(later.to_value(), expected);
    for object in [&object, &later] {
        let metadata: Value = serde_json::from_slice(&[b"{", &*object.json_metadata(), b"}"].concat()).expect("json");
        assert_eq!(metadata, json!({"metadata": object.to_value()["metadata"]}));
    }
    let mut item = b"{".to_vec();
    item.extend_from_slice(&later.json_without_head());
    let item: Value = serde_json::from_slice(&item).expect("json");
    assert_eq!(item["kind"], Value::Null);
    assert_eq!(item["spec"], expected["spec"]);
}

#[test]
fn refuses_what_is_no_object() {
    let kind = kinds::builtin().by_resource("", "v1", "pods").expect("pods");
    for wrong in [&b"[]"[..], b"{}", b"{\"kind\":\"Pod\"}", b"k8s\0", b""] {
        assert!(Object::from_stored(wrong, 1, kind).is_err());
    }
}

#[test]
fn empty_metadata() {
    let kind = kinds::builtin().by_resource("", "v1", "configmaps").expect("configmaps");
    let object =
        Object::from_stored(br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}"#, 3, kind).expect("object");
    assert_eq!(object.to_value()["metadata"], json!({"resourceVersion": "3"}));
}

#[test]
fn selectable_fields_are_those_of_the_whole_object() {
    let objects = [
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"nodeName": "n", "containers": [{"name": "c"}], "hostNetwork": true, "restartPolicy": "Always"},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "conditions": []}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": null}),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "r\n", "source": {"component": "c"},
            "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal"}),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reportingComponent": "c"}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"unschedulable": true}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "status": {"succeeded": 3}}),
        json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "r"}, "status": {"replicas": 2}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}, "status": {"phase": "Active"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "type": "ClusterIP"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "data": {"a": "b"}}),
    ];
    for object in objects {
        let kind = kinds::builtin().of_object(&object).expect("kind");
        let stored = Object::from_stored(&serde_json::to_vec(&object).expect("json"), 1, kind).expect("object");
        for (position, label) in kind.strategy.field_labels().iter().enumerate() {
            assert_eq!(stored.field(position), kind.strategy.selectable_field(&object, label), "{label} of {object}");
        }
    }
}
