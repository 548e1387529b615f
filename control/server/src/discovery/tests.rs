//! Tests of discovery against the documents of Kubernetes v1.34.

use serde_json::json;
use skep_api::kinds::builtin;

use super::*;

const KUBECTL: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

#[test]
fn kubectl_gets_the_aggregated_form() {
    assert_eq!(Form::negotiate(KUBECTL), Form::V2);
    assert_eq!(Form::negotiate("application/json"), Form::Legacy);
    assert_eq!(Form::negotiate("*/*"), Form::Legacy);
    assert_eq!(
        Form::negotiate(
            "application/json;q=0.1,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList;q=0.5"
        ),
        Form::V2Beta1
    );
    assert_eq!(
        Form::negotiate("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList, application/json"),
        Form::Legacy
    );
}

#[test]
fn aggregated_lists_subresources_and_names() {
    let document = apis(builtin(), Form::V2);
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    let apps = document["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "apps").unwrap();
    let resources = apps["versions"][0]["resources"].as_array().unwrap();
    let deployments = resources.iter().find(|resource| resource["resource"] == "deployments").unwrap();
    assert_eq!(deployments["shortNames"], json!(["deploy"]));
    assert_eq!(deployments["categories"], json!(["all"]));
    assert_eq!(deployments["scope"], "Namespaced");
    assert_eq!(
        deployments["subresources"][0],
        json!({"subresource": "scale", "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "verbs": ["get", "patch", "update"]})
    );
    let core = api(builtin(), Form::V2, "");
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");
    assert!(core["items"][0]["metadata"].get("name").is_none());
}

#[test]
fn legacy_documents() {
    let versions = api(builtin(), Form::Legacy, "10.0.0.1:6443");
    assert_eq!(versions["versions"], json!(["v1"]));
    assert_eq!(versions["serverAddressByClientCIDRs"][0]["serverAddress"], "10.0.0.1:6443");
    let groups = apis(builtin(), Form::Legacy);
    assert_eq!(groups["groups"][0]["name"], "apiregistration.k8s.io");
    assert_eq!(groups["groups"].as_array().unwrap().len(), 20);
    assert_eq!(
        api_group(builtin(), "autoscaling").unwrap(),
        json!({"apiVersion": "v1", "kind": "APIGroup", "name": "autoscaling",
            "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
            "versions": [{"groupVersion": "autoscaling/v2", "version": "v2"}, {"groupVersion": "autoscaling/v1", "version": "v1"}]})
    );
    assert!(api_group(builtin(), "nope").is_none());
    assert!(api_group(builtin(), "").is_none());
}

#[test]
fn resource_lists_name_parts_of_other_groups() {
    let core = api_resource_list(builtin(), "", "v1").unwrap();
    assert!(core.get("apiVersion").is_none());
    let of = |name: &str| core["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned().unwrap();
    assert_eq!(
        of("pods/eviction"),
        json!({"group": "policy", "version": "v1", "kind": "Eviction", "name": "pods/eviction", "namespaced": true, "singularName": "", "verbs": ["create"]})
    );
    // The hash a real server publishes for pods.
    assert_eq!(of("pods")["storageVersionHash"], "xPOwRZ+Yhw8=");
    assert!(of("bindings").get("storageVersionHash").is_none());
    let apps = api_resource_list(builtin(), "apps", "v1").unwrap();
    assert_eq!((&apps["apiVersion"], &apps["groupVersion"]), (&json!("v1"), &json!("apps/v1")));
    assert!(api_resource_list(builtin(), "apps", "v9").is_none());
}

#[test]
fn etags_are_quoted_hashes() {
    let tag = etag(b"x");
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 130);
}
