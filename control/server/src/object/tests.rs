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
