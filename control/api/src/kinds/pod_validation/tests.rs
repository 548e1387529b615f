use serde_json::{Value, json};

use super::*;

/// Errors of a spec with one good container and the given fields.
fn broken(fields: Value) -> Vec<String> {
    let mut spec = json!({"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst"});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let mut errors = Vec::new();
    pod_spec(&spec, &Path::new("spec"), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn container(fields: Value) -> Vec<String> {
    let mut one = json!({"name": "c", "image": "i"});
    for (key, value) in fields.as_object().unwrap() {
        one[key] = value.clone();
    }
    broken(json!({"containers": [one]}))
}

#[test]
fn a_plain_pod_is_good() {
    assert_eq!(broken(json!({})), Vec::<String>::new());
}

#[test]
fn scalar_fields() {
    assert_eq!(
        broken(json!({"restartPolicy": "Sometimes"})),
        [r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#]
    );
    assert_eq!(
        broken(json!({"dnsPolicy": "None"})),
        ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]
    );
    assert_eq!(
        broken(json!({"activeDeadlineSeconds": 0})),
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"]
    );
    assert_eq!(
        broken(json!({"hostNetwork": true, "hostUsers": false})),
        ["spec.hostNetwork: Forbidden: when `hostUsers` is false"]
    );
}

#[test]
fn containers_are_named_and_ported() {
    assert_eq!(broken(json!({"containers": []})), ["spec.containers: Required value"]);
    assert_eq!(
        container(json!({"image": " x"})),
        [r#"spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace"#]
    );
    assert_eq!(
        container(json!({"ports": [{"containerPort": 0, "protocol": "TCP"}]})),
        ["spec.containers[0].ports[0].containerPort: Required value"]
    );
    let twice = json!({"ports": [{"containerPort": 1, "name": "x", "protocol": "TCP"}, {"containerPort": 2, "name": "x", "protocol": "TCP"}]});
    assert_eq!(container(twice), [r#"spec.containers[0].ports[1].name: Duplicate value: "x""#]);
    let same = json!({"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]});
    assert_eq!(broken(same), [r#"spec.containers[1].name: Duplicate value: "a""#]);
}

#[test]
fn resources() {
    let more = json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}});
    assert_eq!(
        container(more),
        [r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#]
    );
    let negative = json!({"resources": {"requests": {"cpu": "-1"}}});
    assert_eq!(
        container(negative),
        [r#"spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0"#]
    );
}

#[test]
fn mounts_name_volumes() {
    assert_eq!(
        container(json!({"volumeMounts": [{"name": "nope", "mountPath": "/x"}]})),
        [r#"spec.containers[0].volumeMounts[0].name: Not found: "nope""#]
    );
}

#[test]
fn init_containers_have_no_probes_unless_they_stay() {
    let init = json!({"initContainers": [{"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["a"]}}}]});
    assert_eq!(
        broken(init),
        [
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
        ]
    );
}

#[test]
fn spread_constraints() {
    let twice = json!({"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}, {"maxSkew": 2, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"},
    ]});
    assert_eq!(
        broken(twice),
        [
            r#"spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{a, DoNotSchedule}""#
        ]
    );
}

#[test]
fn only_images_deadline_and_tolerations_change() {
    let pod = |spec: Value| json!({"spec": spec});
    let old =
        pod(json!({"containers": [{"name": "c", "image": "a"}], "tolerations": [{"key": "k", "operator": "Exists"}]}));
    let image = pod(
        json!({"containers": [{"name": "c", "image": "b"}], "tolerations": [{"key": "k", "operator": "Exists"}, {"key": "l", "operator": "Exists"}]}),
    );
    assert_eq!(pod_update(&image, &old), []);
    let node = pod(
        json!({"containers": [{"name": "c", "image": "a"}], "nodeName": "n", "tolerations": [{"key": "k", "operator": "Exists"}]}),
    );
    assert!(
        pod_update(&node, &old)[0]
            .to_string()
            .starts_with("spec: Forbidden: pod updates may not change fields other than")
    );
    let fewer = pod(json!({"containers": [{"name": "c", "image": "a"}]}));
    assert_eq!(pod_update(&fewer, &old).len(), 1);
}
