//! What clients may rely on, whatever the engine.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::fixture::Fixture;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": name}}, "data": {"k": "v"}})
}

pub(crate) async fn objects_live_and_die(fixture: Fixture) {
    let admin = fixture.admin();
    let (code, created) = admin.post(MAPS, &map("a")).await;
    assert_eq!(code, StatusCode::CREATED, "{created}");
    let version = created["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    assert!(created["metadata"]["uid"].is_string() && created["metadata"]["creationTimestamp"].is_string());
    let (code, again) = admin.post(MAPS, &map("a")).await;
    assert_eq!((code, &again["message"]), (StatusCode::CONFLICT, &json!("configmaps \"a\" already exists")));
    assert_eq!(admin.get(&format!("{MAPS}/a")).await, (StatusCode::OK, created.clone()));

    // A change that changes nothing is no new version.
    let (_, same) = admin.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "v"}})).await;
    assert_eq!(same["metadata"]["resourceVersion"], json!(version));
    let (_, changed) = admin.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "w"}})).await;
    assert_ne!(changed["metadata"]["resourceVersion"], json!(version));
    let (code, conflict) = admin.put(&format!("{MAPS}/a"), &created).await;
    assert_eq!(code, StatusCode::CONFLICT);
    assert!(
        conflict["message"]
            .as_str()
            .unwrap()
            .ends_with("please apply your changes to the latest version and try again")
    );

    let (code, status) = admin.delete(&format!("{MAPS}/a")).await;
    assert_eq!((code, &status["status"]), (StatusCode::OK, &json!("Success")));
    let (code, missing) = admin.get(&format!("{MAPS}/a")).await;
    assert_eq!((code, &missing["message"]), (StatusCode::NOT_FOUND, &json!("configmaps \"a\" not found")));
    let events = admin.watch(&format!("{MAPS}?watch=1&resourceVersion={version}"), 2).await;
    let seen: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(seen, ["MODIFIED", "DELETED"]);
}

pub(crate) async fn lists_come_in_pages_of_one_state(fixture: Fixture) {
    let admin = fixture.admin();
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(admin.post(MAPS, &map(name)).await.0, StatusCode::CREATED);
    }
    let (_, first) = admin.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    assert_eq!(first["items"][0]["kind"], Value::Null);
    admin.delete(&format!("{MAPS}/d")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = admin.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    let names: Vec<&Value> = rest["items"].as_array().unwrap().iter().map(|i| &i["metadata"]["name"]).collect();
    assert_eq!(names, ["c", "d", "e"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let (_, selected) = admin.get(&format!("{MAPS}?labelSelector=l+in+(a,b)&fieldSelector=metadata.name!%3Da")).await;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    let (code, _) = admin.get(&format!("{MAPS}?fieldSelector=data.k%3Da")).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    let (code, future) = admin.get(&format!("{MAPS}?resourceVersion=999999999&resourceVersionMatch=Exact")).await;
    assert_eq!((code, &future["reason"]), (StatusCode::GATEWAY_TIMEOUT, &json!("Timeout")));
}

pub(crate) async fn watches_tell_the_first_state_and_its_end(fixture: Fixture) {
    let admin = fixture.admin();
    admin.post(MAPS, &map("a")).await;
    let url =
        format!("{MAPS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan");
    let events = admin.watch(&url, 2).await;
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("ADDED"), &json!("BOOKMARK")));
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let (code, _) = admin.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
}

pub(crate) async fn rights_come_from_roles(fixture: Fixture) {
    let (admin, alice) = (fixture.admin(), fixture.user("alice"));
    let (code, denied) = alice.get(MAPS).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        denied["message"],
        "configmaps is forbidden: User \"alice\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": ["", "rbac.authorization.k8s.io"], "resources": ["configmaps", "roles"], "verbs": ["list", "create"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]});
    assert_eq!(admin.post(&format!("{rbac}/roles"), &role).await.0, StatusCode::CREATED);
    assert_eq!(admin.post(&format!("{rbac}/rolebindings"), &binding).await.0, StatusCode::CREATED);
    let allowed = async {
        while alice.get(MAPS).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), allowed).await.unwrap();
    let more = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    let (code, refused) = alice.post(&format!("{rbac}/roles"), &more).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        refused["message"].as_str().unwrap().contains("is attempting to grant RBAC permissions not currently held")
    );
}

pub(crate) async fn service_addresses_are_given_once_and_survive_restarts(fixture: Fixture) {
    let admin = fixture.admin();
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, extra: Value| {
        let mut spec = json!({"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    };
    let (code, first) = admin.post(services, &service("s", json!({}))).await;
    assert_eq!(code, StatusCode::CREATED, "{first}");
    let (ip, port) = (first["spec"]["clusterIP"].clone(), first["spec"]["ports"][0]["nodePort"].clone());
    assert!(ip.as_str().unwrap().starts_with("10.96."), "{ip}");
    let (code, taken) = admin.post(services, &service("t", json!({"clusterIP": ip}))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken["message"].as_str().unwrap().contains("provided IP is already allocated"), "{taken}");
    let ports = json!({"ports": [{"port": 80, "nodePort": port}]});
    let (code, taken) = admin.post(services, &service("t", ports.clone())).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(taken["message"].as_str().unwrap().contains("provided port is already allocated"), "{taken}");
    let (code, address) = admin.get(&format!("/apis/networking.k8s.io/v1/ipaddresses/{}", ip.as_str().unwrap())).await;
    assert_eq!((code, &address["spec"]["parentRef"]["name"]), (StatusCode::OK, &json!("s")));

    drop(admin);
    let fixture = fixture.restarted().await;
    let admin = fixture.admin();
    assert_eq!(admin.get(&format!("{services}/s")).await.1["spec"]["clusterIP"], ip);
    assert_eq!(admin.post(services, &service("t", ports.clone())).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(admin.delete(&format!("{services}/s")).await.0, StatusCode::OK);
    let (code, reused) = admin.post(services, &service("t", ports)).await;
    assert_eq!(code, StatusCode::CREATED, "{reused}");
}

pub(crate) async fn documents_and_health(fixture: Fixture) {
    let admin = fixture.admin();
    assert_eq!(admin.get("/readyz").await, (StatusCode::OK, json!("ok")));
    let (code, verbose) = admin.get("/readyz?verbose").await;
    assert_eq!(code, StatusCode::OK);
    assert!(verbose.as_str().unwrap().contains("[+]etcd ok\n"), "{verbose}");
    assert_eq!(admin.get("/version").await.1["minor"], "34");
    assert_eq!(admin.get("/api/v1").await.1["kind"], "APIResourceList");
    assert_eq!(admin.get("/apis/none.example/v1").await.0, StatusCode::NOT_FOUND);
    assert_eq!(fixture.user("nobody").get("/metrics").await.0, StatusCode::FORBIDDEN);
    let namespaces = admin.get("/api/v1/namespaces").await.1;
    assert_eq!(namespaces["items"].as_array().unwrap().len(), 4);
}

/// A watch goes on, and what was answered is there.
pub(crate) async fn store_restarts_under_a_watch(fixture: Fixture) {
    let admin = fixture.admin();
    let (_, first) = admin.post(MAPS, &map("first")).await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watching = tokio::spawn({
        let admin = admin.clone();
        async move { admin.watch(&format!("{MAPS}?watch=1&resourceVersion={version}"), 3).await }
    });
    for round in 0..3 {
        fixture.restart_etcd();
        // A failed write may have been done: then the name is taken.
        let written = async {
            loop {
                match admin.post(MAPS, &map(&format!("after-{round}"))).await.0 {
                    StatusCode::CREATED | StatusCode::CONFLICT => break,
                    code => assert!(code.is_server_error(), "{code}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    }
    let events = tokio::time::timeout(Duration::from_secs(20), watching).await.unwrap().unwrap();
    let names: Vec<&Value> = events.iter().map(|event| &event["object"]["metadata"]["name"]).collect();
    assert_eq!(names, ["after-0", "after-1", "after-2"]);
    assert_eq!(admin.get(&format!("{MAPS}/first")).await, (StatusCode::OK, first));
}
