//! A round of real kubectl over TCP.

use std::path::Path;

use serde_json::json;

use crate::fixture::Fixture;

/// Runs kubectl and gives what it printed.
#[expect(clippy::disallowed_methods, reason = "this test is about kubectl")]
async fn kubectl(kubeconfig: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write as _;
    let (kubeconfig, input) = (kubeconfig.to_owned(), input.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let run = move || {
        let mut child = std::process::Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

pub(crate) async fn kubectl_sees_kubernetes(mut fixture: Fixture) {
    if std::env::var_os("SKEP_TEST_ROOT").is_none() {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
        return;
    }
    let (address, serving) = fixture.serve();
    let pki = fixture.directory().join("pki");
    let file = |name: &str| pki.join(name).display().to_string();
    let kubeconfig = fixture.directory().join("kubeconfig");
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://{address}"), "certificate-authority": file("ca.crt")}}],
        "users": [{"name": "u", "user": {"client-certificate": file("admin.crt"), "client-key": file("admin.key")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, document.to_string()).unwrap();
    let manifest = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}"#;
    let cases: [(&[&str], &str, bool, &str); 14] = [
        (&["version"], "", true, "Server Version: v1.34"),
        (&["create", "deployment", "web", "--image=x", "--replicas=2"], "", true, "deployment.apps/web created"),
        (&["get", "deployment", "web", "-o", "wide"], "", true, "web    0/2"),
        (&["scale", "deployment", "web", "--replicas=3"], "", true, "deployment.apps/web scaled"),
        (&["expose", "deployment", "web", "--port=80", "--type=NodePort"], "", true, "service/web exposed"),
        (&["get", "service", "web"], "", true, "NodePort"),
        (&["set", "image", "deployment/web", "x=y:2"], "", true, "image updated"),
        (&["apply", "-f", "-"], manifest, true, "configmap/m created"),
        (&["apply", "-f", "-"], manifest, true, "configmap/m unchanged"),
        (&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifest, true, "serverside-applied"),
        (&["label", "configmap", "m", "k=v"], "", true, "labeled"),
        (&["get", "configmaps", "-l", "k=v", "-o", "name"], "", true, "configmap/m"),
        (&["auth", "can-i", "list", "pods", "--as", "nobody"], "", false, "no"),
        (&["delete", "configmap", "m"], "", true, "configmap \"m\" deleted"),
    ];
    for (arguments, input, succeeds, expected) in cases {
        let (succeeded, text) = kubectl(&kubeconfig, arguments, input).await;
        assert_eq!(succeeded, succeeds, "kubectl {arguments:?}: {text}");
        assert!(text.contains(expected), "kubectl {arguments:?}: {text}");
    }
    drop(fixture);
    serving.await.unwrap().unwrap();
}
