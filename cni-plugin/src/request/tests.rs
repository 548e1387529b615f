use super::{Call, Verb};
use crate::response::{Failure, Version, error};

const CONFIG: &str = r#"{"cniVersion":"1.0.0","name":"skep","type":"skep-cni","pinDir":"/sys/fs/bpf/skep","stateDir":"/var/lib/skep/cni",
    "podCIDRs":["10.244.1.0/24","fd00:10:244:1::/64"],"mtu":1450}"#;

fn call(pairs: &[(&str, &str)], config: &str) -> Result<Call, serde_json::Value> {
    let environment = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Call::parse(&environment, config.as_bytes())
        .map_err(|rejected| error(rejected.version.unwrap_or_default(), &Failure::from(rejected.error)))
}

const ADD: [(&str, &str); 5] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_NETNS", "/run/netns/x"),
    ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"),
];

fn code(result: Result<Call, serde_json::Value>) -> u64 {
    result.err().expect("is refused")["code"].as_u64().expect("has a code")
}

#[test]
fn a_whole_add_is_understood() {
    let Ok(Call::Network { verb, request }) = call(&ADD, CONFIG) else { panic!("refused") };
    assert_eq!(verb, Verb::Add);
    assert_eq!(request.pod.as_deref(), Some("default/web-0"));
    assert_eq!(request.attachment().unwrap().interface, "eth0");
    assert_eq!(request.network.pod_cidrs.len(), 2);
    assert_eq!(request.network.quarantine_seconds, 30);
}

#[test]
fn each_mistake_has_its_code() {
    let without = |name: &str| ADD.into_iter().filter(|(k, _)| *k != name).collect::<Vec<_>>();
    let with = |name: &str, value: &'static str| ADD.map(|(k, v)| (k, if k == name { value } else { v }));
    assert_eq!(code(call(&without("CNI_COMMAND"), CONFIG)), 4);
    assert_eq!(code(call(&without("CNI_CONTAINERID"), CONFIG)), 4);
    assert_eq!(code(call(&without("CNI_NETNS"), CONFIG)), 4);
    assert_eq!(code(call(&with("CNI_IFNAME", "a/b"), CONFIG)), 4);
    assert_eq!(code(call(&with("CNI_CONTAINERID", "-x"), CONFIG)), 4);
    assert_eq!(code(call(&ADD, "{")), 6);
    assert_eq!(code(call(&ADD, &CONFIG.replace("1.0.0", "0.2.0"))), 1);
    assert_eq!(code(call(&ADD, &CONFIG.replace("1450", "100"))), 7);
    assert_eq!(code(call(&ADD, &CONFIG.replace("10.244.1.0/24", "10.244.1.0/31"))), 7);
    let host_port = CONFIG.replace(
        r#""mtu":1450"#,
        r#""mtu":1450,"runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":80}]}"#,
    );
    assert_eq!(code(call(&ADD, &host_port)), 2);
    let mac = CONFIG.replace(r#""mtu":1450"#, r#""mtu":1450,"runtimeConfig":{"mac":"01:00:00:00:00:00"}"#);
    assert_eq!(code(call(&ADD, &mac)), 7);
}

#[test]
fn del_needs_no_namespace_and_version_needs_nothing() {
    let del: Vec<_> = ADD
        .into_iter()
        .filter(|(k, _)| *k != "CNI_NETNS")
        .map(|(k, v)| (k, if k == "CNI_COMMAND" { "DEL" } else { v }))
        .collect();
    assert!(call(&del, &CONFIG.replace("1450", "0")).is_ok());
    assert!(matches!(call(&[("CNI_COMMAND", "VERSION")], "{}"), Ok(Call::Versions { asked: None })));
    let Ok(Call::Versions { asked }) = call(&[("CNI_COMMAND", "VERSION")], r#"{"cniVersion":"0.4.0"}"#) else {
        panic!()
    };
    assert_eq!(asked, Some(Version::V0_4_0));
}

#[test]
fn new_verbs_need_a_new_version() {
    assert_eq!(code(call(&[("CNI_COMMAND", "GC")], CONFIG)), 7);
    assert!(call(&[("CNI_COMMAND", "STATUS")], &CONFIG.replace("1.0.0", "1.1.0")).is_ok());
}
