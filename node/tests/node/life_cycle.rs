//! Static pods from manifest to removal.

use std::fs;

use serde_json::json;
use skep_node::cri::observed::Phase;

use super::fixture::{Node, enabled, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_starts_survives_the_kubelet_and_goes() {
    if !enabled() {
        return;
    }
    let mut node = Node::start().await;
    node.apply("a", json!({"containers": [{"name": "c", "command": ["sleep", "1000"]}]}));
    let status = node.wait_for("a", "Running", |status| status["phase"] == "Running").await;
    assert_eq!(status["podIP"], "127.0.0.1");
    assert_eq!(status["containerStatuses"][0]["ready"], true);
    assert_eq!(status["qosClass"], "BestEffort");
    let before = node.state("a").await;

    // A new kubelet takes over what runs.
    node.stop_kubelet().await;
    node.start_kubelet();
    node.wait_for("a", "Running again", |status| status["phase"] == "Running").await;
    let after = node.state("a").await;
    assert_eq!(before.containers[0].id, after.containers[0].id);
    assert_eq!(after.containers.len(), 1);

    // A pod that vanished while no kubelet ran is removed by the next one.
    node.stop_kubelet().await;
    node.delete("a");
    node.start_kubelet();
    wait("the pod is gone", async || node.state("a").await.sandboxes.is_empty()).await;
    wait("its directory is gone", async || fs::read_dir(node.path("kubelet/pods")).unwrap().next().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_in_order_and_volumes_are_shared() {
    if !enabled() {
        return;
    }
    let node = Node::start().await;
    let mount = json!([{"name": "data", "mountPath": "/data"}]);
    let step = |name: &str| json!({"name": name, "command": ["sh", "-c", format!("sleep 0.2; echo {name} >> /data/order")], "volumeMounts": mount});
    fs::create_dir(node.path("host")).unwrap();
    let host = node.path("host").display().to_string();
    node.apply(
        "a",
        json!({
            "initContainers": [step("one"), step("two"),
                {"name": "side", "restartPolicy": "Always", "command": ["sleep", "1000"]}],
            "containers": [{"name": "c", "command": ["sh", "-c", "cat /data/order > /host/order; echo '$(GREETING) $$(GREETING)' > /host/env; env >> /host/env; id -u > /host/uid; cat /etc/hosts > /host/hosts; sleep 1000"],
                "env": [{"name": "GREETING", "value": "hello"},
                        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}],
                "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
                "securityContext": {"runAsUser": 0},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "host", "mountPath": "/host"},
                                 {"name": "data", "mountPath": "/sub", "subPath": "made/here"}]}],
            "volumes": [{"name": "data", "emptyDir": {"medium": "Memory"}}, {"name": "host", "hostPath": {"path": host, "type": "Directory"}}]
        }),
    );
    node.wait_for("a", "ready", |status| status["containerStatuses"][0]["ready"] == true).await;
    let read = |name: &str| fs::read_to_string(node.path("host").join(name)).unwrap_or_default();
    wait("the container has written", async || !read("hosts").is_empty()).await;
    assert_eq!(read("order"), "one\ntwo\n");
    let env = read("env");
    assert!(env.starts_with("hello $(GREETING)\n"), "{env}");
    assert!(
        env.contains("POD=a-n1\n") && env.contains("LIMIT=67108864\n") && env.contains("FROM_IMAGE=yes\n"),
        "{env}"
    );
    assert!(read("hosts").starts_with("# Kubernetes-managed hosts file (host network)."));
    let pod = node.pod("a").await.unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let cgroups = skep_node::cgroups::Cgroups::discover(&format!(
        "/{}",
        node.directory.path().file_name().unwrap().to_string_lossy()
    ))
    .unwrap();
    assert_eq!(cgroups.pods(), [uid]);
    assert!(node.path(&format!("kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/data/made/here")).is_dir());

    node.delete("a");
    wait("the pod is gone", async || node.state("a").await.sandboxes.is_empty()).await;
    wait("its cgroups and directories are gone", async || {
        cgroups.pods().is_empty() && fs::read_dir(node.path("kubelet/pods")).unwrap().next().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_containers_back_off_and_finished_pods_end() {
    if !enabled() {
        return;
    }
    let node = Node::start().await;
    node.apply("crash", json!({"containers": [{"name": "c", "command": ["sh", "-c", "echo last words > /dev/termination-log; exit 7"]}]}));
    node.apply("done", json!({"restartPolicy": "Never", "containers": [{"name": "c", "command": ["true"]}]}));
    node.apply("never", json!({"containers": [{"name": "c", "imagePullPolicy": "Never"}]}));
    let status = node
        .wait_for("crash", "CrashLoopBackOff", |status| {
            status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let container = &status["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 7);
    assert_eq!(container["lastState"]["terminated"]["message"], "last words\n");
    let message = container["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("back-off 10s restarting failed container=c pod=crash-n1_default("), "{message}");
    let status = node.wait_for("done", "Succeeded", |status| status["phase"] == "Succeeded").await;
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    let never = node.wait_for("never", "Running", |status| status["phase"] == "Running").await;
    assert_eq!(never["containerStatuses"][0]["image"], "docker.io/library/busybox:test");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_decide_readiness_and_restarts() {
    if !enabled() {
        return;
    }
    let node = Node::start().await;
    node.apply(
        "a",
        json!({"containers": [{"name": "c", "command": ["sh", "-c", "touch /alive; sleep 2; touch /ready; sleep 2; rm /alive; sleep 1000"],
            "readinessProbe": {"exec": {"command": ["cat", "/ready"]}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["cat", "/alive"]}, "periodSeconds": 1, "failureThreshold": 2}}]}),
    );
    node.wait_for("a", "running but not ready", |status| {
        status["phase"] == "Running" && status["containerStatuses"][0]["ready"] == false
    })
    .await;
    node.wait_for("a", "ready", |status| status["containerStatuses"][0]["ready"] == true).await;
    let status = node.wait_for("a", "a restart", |status| status["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    let state = node.state("a").await;
    assert!(state.containers.iter().any(|container| container.phase == Phase::Exited));
}
