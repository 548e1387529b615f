//! Managed fields and server-side apply, after recorded behaviour of upstream; pure.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::decode::FieldValidation;
use crate::kinds::builtin;

fn kind(group: &str, name: &str) -> &'static Kind {
    builtin().by_kind(group, "v1", name).expect("in the table")
}

fn writer(manager: &'static str, kind: &'static Kind) -> Writer<'static> {
    let api_version = if kind.group.is_empty() { "v1" } else { "apps/v1" };
    Writer { manager, api_version, now: "2026-01-02T03:04:05Z" }
}

/// Applies and stores.
fn applied(live: &mut Option<Value>, patch: &Value, manager: &'static str, force: bool) -> Result<(), ApplyError> {
    let kind = builtin().of_object(patch).expect("in the table");
    let mut object = apply(kind, Part::Whole, live.as_ref(), patch, &writer(manager, kind), force)?;
    meta::metadata_mut(&mut object).insert("uid".to_owned(), json!("u"));
    crate::object::canonicalize(kind, &mut object);
    *live = Some(object);
    Ok(())
}

fn updated(live: &mut Option<Value>, new: &Value, manager: &'static str) {
    let kind = builtin().of_object(new).expect("in the table");
    let mut new = new.clone();
    record_update(kind, Part::Whole, live.as_ref(), &mut new, &writer(manager, kind));
    *live = Some(new);
}

/// `manager → fields` of all entries.
fn entries(object: &Option<Value>) -> Value {
    let list = object.as_ref().and_then(|o| o["metadata"]["managedFields"].as_array().cloned()).unwrap_or_default();
    list.iter()
        .map(|e| (e["manager"].as_str().unwrap_or_default().to_owned(), e["fieldsV1"].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

#[test]
fn disowned_fields_stay_with_appliers() {
    let mut live = None;
    updated(&mut live, &config_map(&json!({"a": "1", "b": "1"})), "m1");
    applied(&mut live, &config_map(&json!({"a": "1"})), "m2", false).expect("shares");
    let mut object = live.take().expect("there");
    disown(&mut object, &["data", "a"]);
    live = Some(object);
    assert_eq!(entries(&live), json!({"m1": {"f:data": {".": {}, "f:b": {}}}, "m2": {"f:data": {"f:a": {}}}}));
}

#[test]
fn own_conflict_force_share_and_release() {
    let mut live = None;
    applied(&mut live, &config_map(&json!({"a": "1", "b": "1"})), "m1", false).expect("creates");
    assert_eq!(entries(&live), json!({"m1": {"f:data": {"f:a": {}, "f:b": {}}}}));
    let before = live.clone();
    applied(&mut live, &config_map(&json!({"a": "1", "b": "1"})), "m1", false).expect("changes nothing");
    assert_eq!(live, before);
    let error = applied(&mut live, &config_map(&json!({"a": "2"})), "m2", false).expect_err("conflict");
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"m1\": .data.a");
    applied(&mut live, &config_map(&json!({"a": "1"})), "m2", false).expect("shares");
    let shared = live.as_ref().map(|l| l["metadata"]["managedFields"].clone()).unwrap_or_default();
    let times = shared.as_array().map(|l| l.iter().filter(|e| e.get("time").is_some()).count());
    assert_eq!(times, Some(1), "an apply that changes nothing has no time");
    applied(&mut live, &config_map(&json!({"a": "3"})), "m2", true).expect("forced");
    assert_eq!(entries(&live), json!({"m1": {"f:data": {"f:b": {}}}, "m2": {"f:data": {"f:a": {}}}}));
    applied(&mut live, &config_map(&json!({"b": "1"})), "m1", false).expect("keeps a");
    applied(&mut live, &config_map(&json!({})), "m1", false).expect("removes b");
    assert_eq!(live.as_ref().map(|l| l["data"].clone()), Some(json!({"a": "3"})));
    assert_eq!(entries(&live), json!({"m1": {"f:data": {}}, "m2": {"f:data": {"f:a": {}}}}));
    let mut new = live.clone().unwrap_or_default();
    new["data"]["a"] = json!("7");
    updated(&mut live, &new, "up");
    assert_eq!(entries(&live), json!({"m1": {"f:data": {}}, "up": {"f:data": {"f:a": {}}}}));
    let error = applied(&mut live, &config_map(&json!({"a": "8"})), "m2", false).expect_err("conflict");
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"up\" using v1: .data.a");
    applied(&mut live, &config_map(&json!({"a": "7"})), "m2", false).expect("agrees");
    applied(&mut live, &config_map(&json!({"z": "1"})), "m4", false).expect("adds");
    let error = applied(&mut live, &config_map(&json!({"a": "0", "z": "0"})), "m5", false).expect_err("conflicts");
    let expected = "Apply failed with 3 conflicts: conflicts with \"m2\":\n- .data.a\nconflicts with \"m4\":\n- .data.z\nconflicts with \"up\" using v1:\n- .data.a";
    assert_eq!(error.to_string(), expected);
    let ApplyError::Conflict(conflicts) = error else { panic!("a conflict") };
    assert_eq!(
        conflicts.causes()[0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"m2\"", "field": ".data.a"})
    );
}

#[test]
fn lists_are_owned_item_by_item() {
    let service = |port: i64, name: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": port, "name": name}]}});
    let mut live = None;
    applied(&mut live, &service(80, "a"), "m1", false).expect("creates");
    let key = "k:{\"port\":80,\"protocol\":\"TCP\"}";
    assert_eq!(entries(&live), json!({"m1": {"f:spec": {"f:ports": {key: {".": {}, "f:name": {}, "f:port": {}}}}}}));
    applied(&mut live, &service(81, "b"), "m2", false).expect("adds");
    let ports = live.as_ref().map(|l| l["spec"]["ports"].clone()).unwrap_or_default();
    assert_eq!(ports.as_array().map(Vec::len), Some(2));
    let error = applied(&mut live, &service(80, "z"), "m2", false).expect_err("conflict");
    let expected = "Apply failed with 1 conflict: conflict with \"m1\": .spec.ports[port=80,protocol=\"TCP\"].name";
    assert_eq!(error.to_string(), expected);
    let selector = |value: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"x": value}}});
    applied(&mut live, &selector("1"), "m3", false).expect("adds");
    let error = applied(&mut live, &selector("2"), "m4", false).expect_err("atomic");
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"m3\": .spec.selector");
    applied(&mut live, &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}), "m2", false)
        .expect("releases");
    let names = live.as_ref().map(|l| l["spec"]["ports"].clone()).unwrap_or_default();
    assert_eq!((names.as_array().map(Vec::len), &names[0]["name"]), (Some(1), &json!("a")));
}

#[test]
fn sets_are_owned_value_by_value() {
    let with = |finalizers: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": finalizers}, "data": {}});
    let mut live = None;
    applied(&mut live, &with(json!(["e.com/a"])), "m1", false).expect("creates");
    assert_eq!(entries(&live), json!({"m1": {"f:data": {}, "f:metadata": {"f:finalizers": {"v:\"e.com/a\"": {}}}}}));
    applied(&mut live, &with(json!([])), "m1", false).expect("drops");
    assert_eq!(entries(&live), json!({"m1": {"f:data": {}}}));
    assert_eq!(live.as_ref().and_then(|l| l["metadata"].get("finalizers").cloned()), None);
}

#[test]
fn patches_must_fit() {
    let refuse = |patch: Value| {
        apply(kind("", "ConfigMap"), Part::Whole, None, &patch, &writer("m", kind("", "ConfigMap")), false)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(refuse(json!({"metadata": {"name": "c"}})), "invalid object type: /, Kind=");
    let typed = "failed to create typed patch object (/c; /v1, Kind=ConfigMap): ";
    assert_eq!(
        refuse(config_map(&json!({"q": 1}))),
        format!("{typed}.data.q: expected string, got &value.valueUnstructured{{Value:1}}")
    );
    let mut unknown = config_map(&json!({}));
    unknown["bogus"] = json!(1);
    assert_eq!(refuse(unknown), format!("{typed}.bogus: field not declared in schema"));
    let mut managed = config_map(&json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(refuse(managed), "metadata.managedFields must be nil");
    let yaml = parse_patch(b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\n").expect("YAML");
    let words = "failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata.name: expected string, got &value.valueUnstructured{Value:true}";
    assert_eq!(refuse(yaml), words);
}

#[test]
fn updates_take_what_they_change() {
    let mut live = None;
    updated(&mut live, &config_map(&json!({"a": "1"})), "creator");
    assert_eq!(entries(&live), json!({"creator": {"f:data": {".": {}, "f:a": {}}}}));
    if let Some(l) = live.as_mut() {
        meta::set_text(l, "uid", "u");
    }
    updated(&mut live, &config_map(&json!({"a": "2", "b": "1"})), "updater");
    assert_eq!(entries(&live), json!({"creator": {"f:data": {}}, "updater": {"f:data": {"f:a": {}, "f:b": {}}}}));
    let mut reset = config_map(&json!({"a": "2"}));
    reset["metadata"]["managedFields"] = json!([{}]);
    updated(&mut live, &reset, "x");
    assert_eq!(entries(&live), json!({}));
    updated(&mut live, &config_map(&json!({"a": "3"})), "y");
    assert_eq!(entries(&live), json!({}), "nothing is tracked again before an apply");
    let mut set = config_map(&json!({"a": "4"}));
    let fields = json!({"f:data": {"f:a": {}}});
    set["metadata"]["managedFields"] = json!([{"manager": "fake", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
    updated(&mut live, &set, "set");
    assert_eq!(entries(&live), json!({"set": {"f:data": {"f:a": {}}}}));
}

#[test]
fn a_write_takes_nothing_that_it_cannot_set() {
    let claim = |status: Value| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": {"volumeName": "v"}, "status": status});
    let claims = kind("", "PersistentVolumeClaim");
    let mut live = None;
    updated(&mut live, &claim(json!({})), "creator");
    let mut bound = claim(json!({"phase": "Bound"}));
    record_update(claims, Part::Status, live.as_ref(), &mut bound, &writer("binder", claims));
    let owned = json!({"creator": {"f:spec": {"f:volumeName": {}}}, "binder": {"f:status": {"f:phase": {}}}});
    live = Some(bound);
    assert_eq!(entries(&live), owned);
    updated(&mut live, &claim(json!({})), "updater");
    assert_eq!(entries(&live), owned);
}

#[test]
fn a_created_deployment_is_owned_as_upstream_owns_it() {
    let deployment = json!({"spec": {"replicas": 0, "paused": true, "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}], "schedulerName": "s"}}}});
    let deployments = kind("apps", "Deployment");
    let body = deployment.to_string();
    let decoded =
        decode::decode(body.as_bytes(), decode::MediaType::Json, deployments, FieldValidation::Strict).expect("valid");
    let mut live = None;
    updated(&mut live, &decoded.object, "m");
    let container = "k:{\"name\":\"c\"}";
    assert_eq!(
        entries(&live)["m"],
        json!({"f:spec": {
            "f:paused": {}, "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
            "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {
                "f:containers": {container: {".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {},
                    "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}}},
                "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {}, "f:terminationGracePeriodSeconds": {}}}
        }})
    );
}

#[test]
fn a_status_update_owns_status_only() {
    let pods = kind("", "Pod");
    let old = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u", "managedFields": [
        {"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:dnsPolicy": {}}}}]},
        "spec": {"dnsPolicy": "Default"}, "status": {"phase": "Pending"}});
    let mut new = old.clone();
    new["spec"] = json!({"dnsPolicy": "None"});
    new["status"] = json!({"phase": "Pending", "podIPs": [{"ip": "10.0.0.1"}]});
    record_update(
        pods,
        Part::Status,
        Some(&old),
        &mut new,
        &Writer { manager: "kubelet", api_version: "v1", now: "t" },
    );
    assert_eq!(new["metadata"]["managedFields"][0], old["metadata"]["managedFields"][0]);
    let entry = &new["metadata"]["managedFields"][1];
    assert_eq!((&entry["manager"], &entry["subresource"]), (&json!("kubelet"), &json!("status")));
    assert_eq!(
        entry["fieldsV1"],
        json!({"f:status": {"f:podIPs": {".": {}, "k:{\"ip\":\"10.0.0.1\"}": {".": {}, "f:ip": {}}}}})
    );
}

#[test]
fn kubectl_takes_over_from_client_side_apply() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut client_side = config_map(&json!({"a": "1", "b": "1"}));
    client_side["metadata"]["annotations"] = json!({annotation: config_map(&json!({"a": "1", "b": "1"})).to_string()});
    let mut live = None;
    updated(&mut live, &client_side, "kubectl-client-side-apply");
    let error =
        applied(&mut live, &config_map(&json!({"a": "2"})), "other", false).expect_err("somebody else conflicts");
    assert!(matches!(error, ApplyError::Conflict(_)));
    applied(&mut live, &config_map(&json!({"a": "2"})), "kubectl", false).expect("kubectl takes over");
    let object = live.clone().unwrap_or_default();
    assert_eq!(object["data"]["a"], "2");
    assert!(object["metadata"]["annotations"][annotation].as_str().is_some_and(|t| t.contains("\"a\":\"2\"")));
    let mut changed = object;
    changed["data"]["a"] = json!("3");
    updated(&mut live, &changed, "hand");
    let error =
        applied(&mut live, &config_map(&json!({"a": "2"})), "kubectl", false).expect_err("changed by hand since");
    assert!(matches!(error, ApplyError::Conflict(_)));
}

#[test]
fn names_of_managers() {
    assert_eq!(manager_name("m", "agent/1.2"), "m");
    assert_eq!(manager_name("", "my-agent/1.2 (linux)"), "my-agent");
    assert_eq!(manager_name("", &"x".repeat(300)).len(), 128);
}

fn data() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-c]", "[0-2]", 1..3)
        .prop_map(|m| m.into_iter().map(|(k, v)| (k, Value::from(v))).collect())
}

proptest! {
    /// Whatever managers do, an applied object holds what was applied, `FieldsV1` survives the way through text, and a second apply of
    /// the same patch changes nothing.
    #[test]
    fn forced_applies_hold(patches in proptest::collection::vec((data(), 0_usize..3), 1..6)) {
        let mut live = None;
        for (data, who) in patches {
            let manager = ["m0", "m1", "m2"][who];
            let patch = config_map(&data);
            applied(&mut live, &patch, manager, true).expect("forced");
            let object = live.clone().unwrap_or_default();
            for (key, value) in data.as_object().into_iter().flatten() {
                prop_assert_eq!(&object["data"][key], value);
            }
            for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
                let set = PathSet::from_fields(&entry["fieldsV1"]).expect("our own");
                prop_assert_eq!(&set.to_fields(), &entry["fieldsV1"]);
            }
            applied(&mut live, &patch, manager, false).expect("no conflict with oneself");
            prop_assert_eq!(live.clone().unwrap_or_default(), object);
        }
    }
}
