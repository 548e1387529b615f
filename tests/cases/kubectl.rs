//! Real kubectl: what users type.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::machine::{attempt, eventually};

use crate::workload::{deploy, pods};

pub(crate) fn objects(cluster: &Cluster) -> anyhow::Result<()> {
    let says = |args: &[&str], wanted: &str| -> anyhow::Result<()> {
        let said = cluster.get(args)?;
        ensure!(said.contains(wanted), "kubectl {}: no {wanted:?} in:\n{said}", args.join(" "));
        Ok(())
    };
    says(&["create", "namespace", "objects"], "namespace/objects created")?;
    says(&["-n", "objects", "create", "configmap", "c", "--from-literal=a=1"], "configmap/c created")?;
    says(&["-n", "objects", "create", "secret", "generic", "s", "--from-literal=a=1"], "secret/s created")?;
    says(&["-n", "objects", "create", "serviceaccount", "robot"], "serviceaccount/robot created")?;
    says(
        &["-n", "objects", "create", "role", "r", "--verb=get,list", "--resource=pods"],
        "role.rbac.authorization.k8s.io/r created",
    )?;
    says(&["-n", "objects", "create", "rolebinding", "b", "--role=r", "--serviceaccount=objects:robot"], "created")?;
    says(&["-n", "objects", "auth", "can-i", "list", "pods", "--as=system:serviceaccount:objects:robot"], "yes")?;
    says(&["-n", "objects", "get", "configmap", "c", "-o", "jsonpath={.data.a}"], "1")?;
    says(&["-n", "objects", "label", "configmap", "c", "colour=blue"], "configmap/c labeled")?;
    says(&["-n", "objects", "get", "configmaps", "-l", "colour=blue", "-o", "name"], "configmap/c")?;
    says(&["-n", "objects", "annotate", "configmap", "c", "note=x"], "configmap/c annotate")?;
    says(
        &["-n", "objects", "create", "deployment", "d", "--image=skep.test/endpoint:1", "--replicas=2"],
        "deployment.apps/d created",
    )?;
    says(&["-n", "objects", "rollout", "status", "deployment/d", "--timeout=60s"], "successfully rolled out")?;
    says(&["-n", "objects", "expose", "deployment", "d", "--port=80", "--target-port=8080"], "service/d exposed")?;
    says(&["-n", "objects", "scale", "--replicas=3", "deployment", "d"], "deployment.apps/d scaled")?;
    says(&["-n", "objects", "set", "env", "deployment/d", "A=2"], "env updated")?;
    says(&["-n", "objects", "rollout", "status", "deployment/d", "--timeout=60s"], "successfully rolled out")?;
    says(&["-n", "objects", "rollout", "history", "deployment/d"], "2")?;
    says(&["-n", "objects", "rollout", "undo", "deployment/d"], "rolled back")?;
    says(&["-n", "objects", "rollout", "restart", "deployment/d"], "restarted")?;
    says(&["-n", "objects", "describe", "deployment", "d"], "ScalingReplicaSet")?;
    says(&["-n", "objects", "get", "deployments", "-o", "wide"], "UP-TO-DATE")?;
    says(&["get", "nodes", "-o", "wide"], "containerd://")?;
    says(&["explain", "pod.spec.containers.livenessProbe"], "KIND:       Pod")?;
    says(&["api-resources"], "deployments")?;
    says(&["api-versions"], "apps/v1")?;
    let second = attempt(&mut cluster.kubectl(&["-n", "objects", "create", "configmap", "c"]))?;
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(error.contains("already exists"), "a second create: {error}");
    let top = attempt(&mut cluster.kubectl(&["top", "nodes"]))?;
    ensure!(String::from_utf8_lossy(&top.stderr).contains("Metrics API not available"), "kubectl top: {top:?}");
    says(&["delete", "namespace", "objects", "--timeout=60s"], "deleted")?;
    let left = cluster.get(&["get", "namespace", "objects", "--ignore-not-found"])?;
    ensure!(left.is_empty(), "the namespace is still there: {left}");
    Ok(())
}

pub(crate) fn streams(cluster: &Cluster) -> anyhow::Result<()> {
    deploy(cluster, "streams", 1)?;
    let (pod, ..) = pods(cluster, "streams")?.into_iter().next().context("a pod")?;
    let logs = eventually(Duration::from_secs(10), || cluster.get(&["logs", &pod]))?;
    ensure!(logs.contains("serving on 8080"), "logs: {logs}");
    let said = cluster.get(&["exec", &pod, "--", "sh", "-c", "echo out; exit 0"])?;
    ensure!(said == "out\n", "exec: {said:?}");
    let failed = attempt(&mut cluster.kubectl(&["exec", &pod, "--", "sh", "-c", "exit 7"]))?;
    ensure!(failed.status.code() == Some(7), "exec's exit code: {failed:?}");
    let file = std::env::temp_dir().join(format!("{}-copied", cluster.name()));
    let copied = (|| {
        cluster.get(&["cp", &format!("{pod}:etc/passwd"), &file.display().to_string()])?;
        Ok(std::fs::read_to_string(&file)?)
    })();
    std::fs::remove_file(&file).unwrap_or_default();
    let copied: String = copied.map_err(|e: anyhow::Error| e.context("kubectl cp"))?;
    ensure!(copied.starts_with("root:"), "cp: {copied}");
    Ok(())
}
