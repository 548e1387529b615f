use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::kubeconfig::{Kubeconfig, remove_from};

fn names(address: [u8; 4]) -> Names {
    Names { dns: vec!["api.example".into()], addresses: vec![IpAddr::from(address)], domain: "cluster.local".into() }
}

#[test]
fn files_are_made_once_kept_and_renewed_when_names_change() {
    let dir = tempfile::tempdir().unwrap();
    let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap();
    ClusterPki::ensure(dir.path(), &names([10, 0, 0, 1])).unwrap();
    let (ca, serving, admin, sa) = (read("ca.crt"), read("apiserver.crt"), read("admin.crt"), read("sa.key"));
    for secret in ["ca.key", "apiserver.key", "admin.key", "sa.key", "front-proxy-ca.key"] {
        let mode = std::fs::metadata(dir.path().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let again = ClusterPki::ensure(dir.path(), &names([10, 0, 0, 1])).unwrap();
    assert_eq!(read("apiserver.crt"), serving);
    assert_eq!(again.admin().unwrap().cert_pem, admin);
    ClusterPki::ensure(dir.path(), &names([10, 0, 0, 2])).unwrap();
    assert_ne!(read("apiserver.crt"), serving);
    assert_eq!((read("ca.crt"), read("admin.crt"), read("sa.key")), (ca, admin, sa));
}

#[test]
fn etcd_has_an_authority_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let pki = ClusterPki::ensure(dir.path(), &names([10, 0, 0, 1])).unwrap();
    assert!(!pki.path("etcd").exists());
    let made = || {
        pki.ensure_etcd(vec![[10, 0, 0, 1].into()]).unwrap();
        ["etcd/ca.crt", "etcd/server.crt", "etcd/server.key", "apiserver-etcd-client.crt", "apiserver-etcd-client.key"]
            .map(|file| std::fs::read_to_string(pki.path(file)).unwrap())
    };
    let first = made();
    assert_eq!(made(), first);
    assert_ne!(first[0], pki.ca().cert_pem());
}

#[test]
fn a_damaged_authority_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    ClusterPki::ensure(dir.path(), &names([10, 0, 0, 1])).unwrap();
    std::fs::write(dir.path().join("ca.crt"), "rubbish").unwrap();
    let error = ClusterPki::ensure(dir.path(), &names([10, 0, 0, 1])).unwrap_err();
    assert!(error.to_string().contains("ca.crt"), "{error}");
    assert_eq!(std::fs::read_to_string(dir.path().join("ca.crt")).unwrap(), "rubbish");
}

#[test]
fn short_lived_certificates_are_not_met_when_a_third_is_left() {
    let ca = Authority::generate("test").unwrap();
    let request = Request::client("u", Some("g1"));
    let leaf = ca.issue(&request).unwrap();
    let now = OffsetDateTime::now_utc();
    assert!(request.is_met_by(&leaf.cert_pem, now));
    assert!(request.is_met_by(&leaf.cert_pem, now + time::Duration::days(240)));
    assert!(!request.is_met_by(&leaf.cert_pem, now + time::Duration::days(250)));
    assert!(!Request::client("u", Some("g2")).is_met_by(&leaf.cert_pem, now));
    assert!(!request.is_met_by("", now));
}

#[test]
fn merging_keeps_what_others_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, "apiVersion: v1\nkind: Config\ncurrent-context: other\ncontexts:\n- name: other\n  context: {cluster: o, user: o}\n").unwrap();
    let pki = ClusterPki::ensure(&dir.path().join("pki"), &names([10, 0, 0, 1])).unwrap();
    let ours = Kubeconfig {
        context: "skep-test".into(),
        user: "skep-test-admin".into(),
        server: "https://127.0.0.1:1".into(),
        ca_pem: pki.ca().cert_pem().into(),
        credentials: pki.admin().unwrap(),
    };
    ours.merge_into(&file).unwrap();
    ours.merge_into(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("name: skep-test\n").count(), 2, "{text}");
    assert!(text.contains("name: other") && text.contains("current-context: skep-test"), "{text}");
    remove_from(&file, "skep-test", "skep-test-admin").unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("name: other") && !text.contains("skep-test"), "{text}");
    std::fs::write(&file, "- a list").unwrap();
    assert!(ours.merge_into(&file).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "- a list");
}
