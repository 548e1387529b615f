//! Tests of server-side printing against facts of Kubernetes v1.34.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::human_duration;
use super::*;

const NOW: &str = "2026-01-10T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn cells(group: &str, version: &str, resource: &str, object: &Value) -> Vec<Value> {
    Printer::of(group, version, resource).row(object, now()).cells
}

fn pod(spec: Value, status: Value) -> Vec<Value> {
    let object = json!({"metadata": {"name": "p", "creationTimestamp": NOW}, "spec": spec, "status": status});
    cells("", "v1", "pods", &object)
}

#[test]
fn every_row_has_a_cell_per_column() {
    for (group, version, resource) in column::known() {
        let printer = Printer::of(group, version, resource);
        let row = printer.row(&json!({"metadata": {"name": "x"}}), now());
        assert_eq!(row.cells.len(), printer.columns().len(), "{group}/{version} {resource}");
        let generic = printer.columns().len() == 2 && printer.columns()[1].name == "Created At";
        let known = column::columns_of(group, version, resource).unwrap();
        assert_eq!(generic, known[1].name == "Created At", "{resource} lacks a printer");
        assert!(known.iter().all(|column| !column.description.is_empty()));
    }
}

#[test]
fn durations_take_the_two_most_telling_units() {
    for (seconds, text) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 120, "3h2m"),
        (40 * 3600, "40h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (9 * 86400, "9d"),
        (2 * 365 * 86400, "2y"),
        (2 * 365 * 86400 + 86400, "2y1d"),
        (9 * 365 * 86400, "9y"),
    ] {
        assert_eq!(human_duration(seconds), text);
    }
}

#[test]
fn pods_show_their_state_in_one_word() {
    let one = json!({"containers": [{"name": "c"}]});
    let two_inits = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i1"}, {"name": "i2"}]});
    let status = |state: Value| json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 5, "state": state}]});

    let row = pod(one.clone(), json!({"phase": "Pending"}));
    assert_eq!(
        row,
        json!(["p", "0/1", "Pending", "0", "0s", "<none>", "<none>", "<none>", "<none>"]).as_array().unwrap().clone()
    );
    let row = pod(one.clone(), status(json!({"waiting": {"reason": "CrashLoopBackOff"}})));
    assert_eq!(row[1..4], [json!("0/1"), json!("CrashLoopBackOff"), json!("5")]);
    let row = pod(one.clone(), status(json!({"terminated": {"exitCode": 0, "signal": 9}})));
    assert_eq!(row[2], "Signal:9");
    let row = pod(one.clone(), status(json!({"terminated": {"exitCode": 3}})));
    assert_eq!(row[2], "ExitCode:3");
    let row = pod(one.clone(), json!({"phase": "Running", "reason": "NodeLost"}));
    assert_eq!(row[2], "NodeLost");
    let row = pod(
        one,
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
    );
    assert_eq!(row[2], "SchedulingGated");

    let row = pod(
        two_inits.clone(),
        json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "i1", "restartCount": 0, "state": {"running": {}}}, {"name": "i2", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}]}),
    );
    assert_eq!(row[2], "Init:0/2");
    let row = pod(
        two_inits,
        json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "i1", "restartCount": 2, "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}),
    );
    assert_eq!(row[2..4], [json!("Init:Error"), json!("2")]);
}

#[test]
fn pods_count_side_cars_and_say_when_they_restarted() {
    let spec = json!({"containers": [{"name": "c"}], "nodeName": "n1",
        "initContainers": [{"name": "s", "restartPolicy": "Always"}], "readinessGates": [{"conditionType": "g"}]});
    let status = json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "g", "status": "True"}],
        "initContainerStatuses": [{"name": "s", "ready": true, "started": true, "restartCount": 0, "state": {"running": {}}}],
        "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-08T08:00:00Z"}}}]});
    let row = pod(spec, status);
    assert_eq!(
        row[1..],
        [
            json!("2/2"),
            json!("Running"),
            json!("2 (40h ago)"),
            json!("0s"),
            json!("10.0.0.1"),
            json!("n1"),
            json!("<none>"),
            json!("1/1")
        ]
    );
}

#[test]
fn ended_and_deleted_pods() {
    let object = json!({"metadata": {"name": "p", "deletionTimestamp": NOW}, "spec": {"containers": [{}]}, "status": {"phase": "Running"}});
    assert_eq!(cells("", "v1", "pods", &object)[2], "Terminating");
    let object = json!({"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": {"phase": "Succeeded"}});
    let row = Printer::of("", "v1", "pods").row(&object, now());
    assert_eq!(row.conditions.unwrap()[0]["reason"], "Succeeded");
    // One container is done, another still serves.
    let done = json!({"name": "a", "restartCount": 0, "ready": false, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let runs = json!({"name": "b", "restartCount": 0, "ready": true, "state": {"running": {}}});
    let row = pod(json!({"containers": [{}, {}]}), json!({"phase": "Running", "containerStatuses": [done, runs]}));
    assert_eq!(row[1..3], [json!("1/2"), json!("NotReady")]);
}

#[test]
fn services_and_endpoints() {
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "selector": {"a": "b"},
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
    let row = cells("", "v1", "services", &service);
    assert_eq!(
        row[1..5],
        [json!("LoadBalancer"), json!("10.96.0.1"), json!("<pending>"), json!("80:30080/TCP,53/UDP")]
    );
    assert_eq!(row[6], "a=b");
    let endpoints = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 443}]}]});
    assert_eq!(cells("", "v1", "endpoints", &endpoints)[1], "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 1 more...");
    assert_eq!(cells("", "v1", "endpoints", &json!({}))[1], "<none>");
    let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {}], "endpoints": [{"addresses": ["10.0.0.1"]}]});
    let row = cells("discovery.k8s.io", "v1", "endpointslices", &slice);
    assert_eq!(row[1..4], [json!("IPv4"), json!("80,x,*"), json!("10.0.0.1")]);
    assert_eq!(cells("discovery.k8s.io", "v1", "endpointslices", &json!({}))[3], "<unset>");
}

#[test]
fn workloads() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j:2"}], "nodeSelector": {"a": "b"}}});
    let spec = json!({"replicas": 3, "template": template, "selector": {"matchLabels": {"app": "a"},
        "matchExpressions": [{"key": "aa", "operator": "In", "values": ["z", "y"]}, {"key": "zz", "operator": "DoesNotExist"}]}});
    let object = json!({"metadata": {"name": "d"}, "spec": spec, "status": {"readyReplicas": 1}});
    let row = cells("apps", "v1", "deployments", &object);
    assert_eq!(
        row,
        json!(["d", "1/3", 0, 0, "<unknown>", "c,d", "i:1,j:2", "aa in (y,z),app=a,!zz"]).as_array().unwrap().clone()
    );
    assert_eq!(cells("apps", "v1", "daemonsets", &object)[6], "a=b");

    let job = |spec, status| cells("batch", "v1", "jobs", &json!({"spec": spec, "status": status}));
    assert_eq!(
        job(json!({"completions": 3}), json!({"conditions": [{"type": "Suspended", "status": "True"}]}))[1..4],
        [json!("Suspended"), json!("0/3"), json!("")]
    );
    assert_eq!(
        job(json!({"parallelism": 4}), json!({"startTime": "2026-01-09T23:59:00Z"}))[2..4],
        [json!("0/1 of 4"), json!("60s")]
    );
    let cron = cells(
        "batch",
        "v1",
        "cronjobs",
        &json!({"spec": {"schedule": "0 0 1 1 *", "timeZone": "UTC", "suspend": true}}),
    );
    assert_eq!(cron[1..6], [json!("0 0 1 1 *"), json!("UTC"), json!("True"), json!(0), json!("<none>")]);
}

#[test]
fn budgets_autoscalers_and_quotas() {
    let budget = cells("policy", "v1", "poddisruptionbudgets", &json!({"spec": {"maxUnavailable": 3}}));
    assert_eq!(budget[1..3], [json!("N/A"), json!("3")]);
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    let spec = json!({"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 3, "metrics": metrics});
    let row = cells("autoscaling", "v2", "horizontalpodautoscalers", &json!({"metadata": {"name": "h"}, "spec": spec}));
    assert_eq!(row[1..6], [json!("Deployment/d"), json!("cpu: <unknown>/80%"), json!("1"), json!(3), json!(0)]);
    let quota =
        json!({"status": {"hard": {"limits.cpu": "2", "pods": "5", "requests.cpu": "1"}, "used": {"pods": "1"}}});
    let row = cells("", "v1", "resourcequotas", &quota);
    assert_eq!(row[1..3], [json!("pods: 1/5, requests.cpu: 0/1"), json!("limits.cpu: 0/2")]);
}

#[test]
fn nodes_and_events() {
    let node = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "db"}}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "False"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}], "nodeInfo": {"kubeletVersion": "v1.34.0"}}});
    let row = cells("", "v1", "nodes", &node);
    assert_eq!(row[1..3], [json!("NotReady,SchedulingDisabled"), json!("db,worker")]);
    assert_eq!(row[4..7], [json!("v1.34.0"), json!("10.0.0.9"), json!("<none>")]);
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p"}, "note": "hi ", "reason": "R", "type": "Normal",
        "eventTime": "2026-01-09T23:59:30Z", "reportingController": "k", "reportingInstance": "i"});
    let row = cells("events.k8s.io", "v1", "events", &event);
    assert_eq!(
        row,
        json!(["30s", "Normal", "R", "pod/p", "", "k, i", "hi", "30s", 1, "e"]).as_array().unwrap().clone()
    );
}

#[test]
fn tables_carry_what_was_asked_for() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "resourceVersion": "7"}, "data": {"k": "c"}});
    let printer = Printer::of("", "v1", "configmaps");
    let options = |include, version| TableOptions { version, include, headers: true };
    let made = table_of_one(&printer, &object, options(IncludeObject::Metadata, ViewVersion::V1Beta1), now());
    assert_eq!(made["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(made["metadata"], json!({"resourceVersion": "7"}));
    assert_eq!(made["rows"][0]["cells"], json!(["c", 1, "<unknown>"]));
    assert_eq!(made["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(made["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
    let made = table_of_one(&printer, &object, options(IncludeObject::None, ViewVersion::V1), now());
    assert!(made["rows"][0]["object"].is_null());
    let later = TableOptions { headers: false, ..options(IncludeObject::Object, ViewVersion::V1) };
    let made = table_of_one(&printer, &object, later, now());
    assert!(made["columnDefinitions"].is_null());
    assert_eq!(made["rows"][0]["object"], object);
    assert_eq!(
        IncludeObject::parse("Bogus").unwrap_err().to_string(),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"Bogus\": must be 'Metadata', 'Object', 'None', or empty"
    );
}
