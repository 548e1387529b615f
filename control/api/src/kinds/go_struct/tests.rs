use serde_json::json;

use super::of_type;

#[test]
fn a_template_shows_members_by_go_name_in_order_of_declaration() {
    let template = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "c", "image": "z", "imagePullPolicy": "Always"}],
            "dnsPolicy": "ClusterFirst", "hostNetwork": true,
        },
    });
    let text = of_type("io.k8s.api.core.v1.PodTemplateSpec", &template).compact();
    assert!(
        text.starts_with(
            r#"{"labels":{"a":"b"},"Spec":{"Volumes":null,"InitContainers":null,"Containers":[{"Name":"c","Image":"z","Command":null,"Args":null,"WorkingDir":"","Ports":null,"EnvFrom":null,"Env":null,"Resources":{"Limits":null,"Requests":null,"Claims":null},"ResizePolicy":null,"RestartPolicy":null,"RestartPolicyRules":null,"VolumeMounts":null"#
        ),
        "{text}"
    );
    assert!(text.contains(r#""SecurityContext":{"HostNetwork":true,"HostPID":false,"HostIPC":false,"ShareProcessNamespace":null,"HostUsers":null,"SELinuxOptions":null,"#), "{text}");
    assert!(
        text.ends_with(r#""SchedulingGates":null,"ResourceClaims":null,"Resources":null,"HostnameOverride":null}}"#),
        "{text}"
    );
}

#[test]
fn types_of_the_api_keep_their_json_names() {
    let spec = json!({"selector": {"matchLabels": {"a": "<b>"}}, "accessModes": ["ReadWriteOnce"]});
    let lines = of_type("io.k8s.api.core.v1.PersistentVolumeClaimSpec", &spec).lines();
    let head = [
        "{",
        " \"AccessModes\": [",
        "  \"ReadWriteOnce\"",
        " ],",
        " \"Selector\": {",
        "  \"matchLabels\": {",
        "   \"a\": \"\\u003cb\\u003e\"",
        "  }",
        " },",
        " \"Resources\": {",
        "  \"Limits\": null,",
        "  \"Requests\": null",
        " },",
        " \"VolumeName\": \"\",",
    ];
    assert_eq!(lines.iter().take(head.len()).collect::<Vec<_>>(), head.iter().collect::<Vec<_>>());
}
