//! Tests of the published documents.

use serde_json::{Value, json};
use skep_api::kinds::builtin;

use super::*;

fn parsed(document: &Document) -> Value {
    serde_json::from_slice(&document.plain()).unwrap()
}

#[test]
fn the_root_links_every_group_version_by_hash() {
    let openapi = OpenApi::new(builtin());
    let root = parsed(&openapi.root());
    let apps = openapi.document("apis/apps/v1").unwrap();
    let link = root["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert_eq!(link, format!("/openapi/v3/apis/apps/v1?hash={}", apps.hash));
    assert!(root["paths"]["api/v1"].is_object());
    assert!(openapi.document("apis/nope/v1").is_none());
    let kept: usize = openapi.made.lock().values().map(|document| document.gzip.len()).sum();
    assert!(kept < 2 << 20, "{kept} bytes");
}

#[test]
fn kubectl_finds_what_it_looks_for() {
    let openapi = OpenApi::new(builtin());
    let core = parsed(&openapi.document("api/v1").unwrap());
    let pods = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"];
    let gvk = json!({"group": "", "version": "v1", "kind": "Pod"});
    assert_eq!(pods["patch"]["x-kubernetes-group-version-kind"], gvk);
    // Validation by the server is used only where PATCH takes this parameter.
    let parameters = pods["patch"]["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"));
    assert_eq!(core["paths"]["/api/v1/namespaces/{namespace}/pods"]["get"]["x-kubernetes-action"], "list");
    assert!(core["paths"]["/api/v1/pods"]["get"].is_object());

    let schemas = &core["components"]["schemas"];
    let container = &schemas["io.k8s.api.core.v1.Container"];
    assert_eq!(container["required"], json!(["name"]));
    let ports = &container["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"], json!([gvk]));
    let spec = &schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
    assert_eq!(spec["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]));
    assert!(schemas["io.k8s.api.core.v1.Pod"]["description"].as_str().unwrap().starts_with("Pod is"));
}

/// Every reference must lead somewhere.
fn check_references(value: &Value, schemas: &Value, prefix: &str) {
    match value {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                let name = target.strip_prefix(prefix).unwrap();
                assert!(schemas.get(name).is_some(), "{target}");
            }
            members.values().for_each(|member| check_references(member, schemas, prefix));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(item, schemas, prefix)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn references_resolve_and_operation_ids_are_unique() {
    let openapi = OpenApi::new(builtin());
    let paths: Vec<String> = openapi.group_versions().map(|(path, _, _)| path).collect();
    for path in paths {
        let document = parsed(&openapi.document(&path).unwrap());
        check_references(&document, &document["components"]["schemas"], "#/components/schemas/");
    }
    let v2 = parsed(&openapi.v2_json());
    check_references(&v2, &v2["definitions"], "#/definitions/");
    let mut ids = std::collections::BTreeSet::new();
    for item in v2["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            if let Some(id) = operation["operationId"].as_str() {
                assert!(ids.insert(id.to_owned()), "{id}");
            }
        }
    }
}

#[test]
fn protobuf_holds_definitions() {
    let openapi = OpenApi::new(builtin());
    let document = openapi.v2_protobuf();
    assert_eq!(document.content_type, V2_PROTOBUF);
    let bytes = document.plain();
    assert_eq!(&bytes[..5], b"\x0a\x032.0");
    let name = b"io.k8s.api.core.v1.PodSpec";
    assert!(bytes.windows(name.len()).any(|window| window == name));
    assert!(v2_wants_protobuf("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"));
    assert!(!v2_wants_protobuf("application/json, */*"));
}
