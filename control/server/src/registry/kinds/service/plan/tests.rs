//! Families, addresses and node ports by the rules.

use serde_json::{Value, json};

use super::{Place, before_update, families, missing_node_ports, shared_node_port, wanted_families};

fn settled(spec: Value, served: &[&str]) -> Result<Value, String> {
    let mut service = json!({"metadata": {"name": "s"}, "spec": spec});
    families(&mut service, None, served).map_err(|e| e.to_string())?;
    Ok(service["spec"].clone())
}

#[test]
fn single_stack_by_default() {
    let spec = settled(json!({"type": "ClusterIP"}), &["IPv4", "IPv6"]).expect("valid");
    assert_eq!((&spec["ipFamilies"], &spec["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
}

#[test]
fn dual_stack_where_there_are_two() {
    let spec = json!({"ipFamilyPolicy": "PreferDualStack"});
    assert_eq!(settled(spec.clone(), &["IPv4"]).expect("valid")["ipFamilies"], json!(["IPv4"]));
    assert_eq!(settled(spec, &["IPv6", "IPv4"]).expect("valid")["ipFamilies"], json!(["IPv6", "IPv4"]));
    let refused = settled(json!({"ipFamilyPolicy": "RequireDualStack"}), &["IPv4"]).expect_err("one family");
    assert!(refused.contains("this cluster is not configured for dual-stack services"), "{refused}");
    let refused = settled(json!({"ipFamilies": ["IPv6"]}), &["IPv4"]).expect_err("other family");
    assert!(
        refused.contains("spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"),
        "{refused}"
    );
}

#[test]
fn headless_and_names_need_no_address() {
    let spec = settled(json!({"clusterIP": "None", "selector": {"a": "b"}}), &["IPv4"]).expect("valid");
    assert_eq!((&spec["clusterIPs"], &spec["ipFamilies"]), (&json!(["None"]), &json!(["IPv4"])));
    assert!(wanted_families(&json!({"spec": spec})).is_empty());
    let spec = settled(json!({"type": "ExternalName", "externalName": "x.y"}), &["IPv4"]).expect("valid");
    assert_eq!(spec["ipFamilies"], Value::Null);
}

#[test]
fn updates_keep_what_they_leave_out() {
    let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack", "ports": [{"name": "a", "port": 80, "nodePort": 30080}]}});
    let mut new =
        json!({"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 81}, {"name": "b", "port": 82}]}});
    before_update(&mut new, &old);
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.96.0.7"]));
    assert_eq!(new["spec"]["ports"][0]["nodePort"], json!(30080));
    assert_eq!(missing_node_ports(&new), [Place::Port(1)]);
    let mut name = old.clone();
    name["spec"]["type"] = json!("ExternalName");
    before_update(&mut name, &old);
    assert_eq!(name["spec"]["ipFamilies"], Value::Null);
}

#[test]
fn protocols_share_a_node_port() {
    let service = json!({"spec": {"type": "NodePort", "ports": [
        {"port": 53, "protocol": "UDP", "nodePort": 30053}, {"port": 53, "protocol": "TCP"}]}});
    assert_eq!(missing_node_ports(&service), [Place::Port(1)]);
    assert_eq!(shared_node_port(&service, &Place::Port(1)), Some(30053));
}
