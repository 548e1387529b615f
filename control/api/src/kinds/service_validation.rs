//! The rules of a Service, in upstream's words (`ValidateService`, v1.34); from its strategy; pure.
//!
//! Which addresses and ports are free is the registry's question, not asked here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::pod_validation::{Errors, integer, items, port_name, text, words};
use crate::field::{FieldError, Path};
use crate::name;

const IP_WORDS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Rules of a Service's spec.
pub fn service(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let kind = text(spec, "type").unwrap_or("ClusterIP");
    let addresses = cluster_addresses(spec);
    let headless = addresses.first() == Some(&"None");
    if items(spec, "ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    match kind {
        "NodePort" | "LoadBalancer" if headless => {
            let at = path.child("clusterIPs").index(0);
            errors.push(FieldError::invalid_text(&at, "None", format!("may not be set to 'None' for {kind} services")));
        }
        "ExternalName" => external_name(spec, &addresses, &path, errors),
        _ => {}
    }
    ports(spec, kind, headless, &path, errors);
    for (key, value) in spec["selector"].as_object().into_iter().flatten() {
        words(&path.child("selector"), key, name::qualified_name(key), errors);
        let value = value.as_str().unwrap_or_default();
        words(&path.child("selector"), value, name::label_value(value), errors);
    }
    affinity(spec, &path, errors);
    if kind != "ExternalName" {
        families(spec, &addresses, &path, errors);
    }
    for (index, address) in items(spec, "externalIPs").iter().filter_map(Value::as_str).enumerate() {
        external_address(address, &path.child("externalIPs").index(index), errors);
    }
    if !["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"].contains(&kind) {
        let supported = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        errors.push(FieldError::not_supported(&path.child("type"), &spec["type"], supported));
    }
    load_balancer(spec, kind, &path, errors);
    policies(spec, kind, &path, errors);
}

/// Rules of a change besides those of the new object.
pub fn service_update(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (spec, was) = (&new["spec"], &old["spec"]);
    let external = |spec: &Value| text(spec, "type") == Some("ExternalName");
    if !external(spec) && !external(was) {
        let (now, before) = (cluster_addresses(spec), cluster_addresses(was));
        if let (Some(first), Some(other)) = (before.first(), now.first())
            && !first.is_empty()
            && first != other
        {
            let list = Value::from(now.clone());
            errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), &list, "may not change once set"));
        }
    }
    let class = |spec: &Value| spec["loadBalancerClass"].clone();
    if text(was, "type") == Some("LoadBalancer")
        && text(spec, "type") == Some("LoadBalancer")
        && class(spec) != class(was)
    {
        errors.push(FieldError::invalid(&path.child("loadBalancerClass"), &class(spec), "may not change once set"));
    }
}

/// `clusterIPs`, or the one `clusterIP` of clients that know no list.
fn cluster_addresses(spec: &Value) -> Vec<&str> {
    let list: Vec<&str> = items(spec, "clusterIPs").iter().filter_map(Value::as_str).collect();
    if list.is_empty() { text(spec, "clusterIP").filter(|a| !a.is_empty()).into_iter().collect() } else { list }
}

fn external_name(spec: &Value, addresses: &[&str], path: &Path, errors: &mut Errors) {
    if !addresses.is_empty() {
        errors.push(FieldError::forbidden(&path.child("clusterIPs"), "may not be set for ExternalName services"));
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if !spec[field].is_null() {
            errors.push(FieldError::forbidden(&path.child(field), "may not be set for ExternalName services"));
        }
    }
    let name = text(spec, "externalName").unwrap_or_default();
    // A trailing dot marks an absolute name.
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(FieldError::required(&path.child("externalName"), "")),
        bare => words(&path.child("externalName"), bare, name::dns_subdomain(bare, false), errors),
    }
}

fn ports(spec: &Value, kind: &str, headless: bool, path: &Path, errors: &mut Errors) {
    let list = items(spec, "ports");
    let (mut names, mut pairs, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, port) in list.iter().enumerate() {
        let at = path.child("ports").index(index);
        match text(port, "name").unwrap_or_default() {
            "" if list.len() > 1 => errors.push(FieldError::required(&at.child("name"), "")),
            "" => {}
            name => {
                words(&at.child("name"), name, name::dns_label(name, false), errors);
                if !names.insert(name) {
                    errors.push(FieldError::duplicate(&at.child("name"), &port["name"]));
                }
            }
        }
        let number = integer(port, "port").unwrap_or(0);
        let protocol = text(port, "protocol").unwrap_or("TCP");
        port_number(&at.child("port"), number, errors);
        if !["TCP", "UDP", "SCTP"].contains(&protocol) {
            errors.push(FieldError::not_supported(&at.child("protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]));
        }
        match &port["targetPort"] {
            Value::String(target) => words(&at.child("targetPort"), target, port_name(target), errors),
            Value::Number(target) => {
                let target = target.as_i64().unwrap_or(0);
                port_number(&at.child("targetPort"), target, errors);
                if headless && target != number && target != 0 && text(spec, "type") == Some("ExternalName") {
                    errors.push(FieldError::invalid_number(
                        &at.child("targetPort"),
                        target,
                        "must be equal to the value of 'port' when clusterIP = None",
                    ));
                }
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
        }
        if let Some(application) = text(port, "appProtocol") {
            words(&at.child("appProtocol"), application, name::qualified_name(application), errors);
        }
        let node_port = integer(port, "nodePort").unwrap_or(0);
        if node_port != 0 && ["ClusterIP", "ExternalName"].contains(&kind) {
            errors
                .push(FieldError::forbidden(&at.child("nodePort"), format!("may not be used when `type` is '{kind}'")));
        } else if node_port != 0 && !node_ports.insert((protocol, node_port)) {
            errors.push(FieldError::duplicate(&at.child("nodePort"), &port["nodePort"]));
        }
        if !pairs.insert((protocol, number)) {
            // Upstream prints the entry's protocol and port alone, in its internal form.
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":\"{protocol}\",\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
            );
            errors.push(FieldError { shown: Some(shown), ..FieldError::duplicate(&at, &Value::Null) });
        }
    }
}

fn port_number(path: &Path, number: i64, errors: &mut Errors) {
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid_number(path, number, "must be between 1 and 65535, inclusive"));
    }
}

fn affinity(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = &spec["sessionAffinityConfig"];
    match text(spec, "sessionAffinity") {
        Some("ClientIP") => {
            let seconds = &config["clientIP"]["timeoutSeconds"];
            let at = path.child("sessionAffinityConfig");
            if config["clientIP"].is_null() && !config.is_null() {
                errors.push(FieldError::required(&at.child("clientIP"), "when session affinity type is ClientIP"));
            } else if let Some(given) = seconds.as_i64().filter(|s| !(1..=86400).contains(s)) {
                let at = at.child("clientIP").child("timeoutSeconds");
                errors.push(FieldError::invalid_number(&at, given, "must be greater than 0 and less than 86400"));
            }
        }
        None | Some("" | "None") => {
            if !config.is_null() {
                let detail = "must not be set when session affinity is None";
                errors.push(FieldError::forbidden(&path.child("sessionAffinityConfig"), detail));
            }
        }
        Some(_) => errors.push(FieldError::not_supported(
            &path.child("sessionAffinity"),
            &spec["sessionAffinity"],
            &["ClientIP", "None"],
        )),
    }
}

fn families(spec: &Value, addresses: &[&str], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, family) in items(spec, "ipFamilies").iter().enumerate() {
        let at = path.child("ipFamilies").index(index);
        let family_name = family.as_str().unwrap_or_default();
        if !["IPv4", "IPv6"].contains(&family_name) {
            errors.push(FieldError::not_supported(&at, family, &["IPv4", "IPv6"]));
        }
        if !seen.insert(family_name) {
            errors.push(FieldError::duplicate(&at, family));
        }
    }
    if let Some(policy) = text(spec, "ipFamilyPolicy")
        && !["SingleStack", "PreferDualStack", "RequireDualStack"].contains(&policy)
    {
        let supported = &["SingleStack", "PreferDualStack", "RequireDualStack"];
        errors.push(FieldError::not_supported(&path.child("ipFamilyPolicy"), &spec["ipFamilyPolicy"], supported));
    }
    for (index, address) in addresses.iter().enumerate() {
        let at = path.child("clusterIPs").index(index);
        if *address == "None" {
            if index > 0 {
                errors.push(FieldError::invalid_text(&at, address, "'None' must be the first and only value"));
            }
        } else if address.parse::<IpAddr>().is_err() {
            errors.push(FieldError::invalid_text(&at, address, IP_WORDS));
        }
    }
    if addresses.len() > 2 {
        let list = Value::from(addresses.to_vec());
        errors.push(FieldError::invalid(&path.child("clusterIPs"), &list, "may only hold up to 2 values"));
    }
}

/// An address outside: not one that never leaves a machine or a link (CVE-2021-25737's class).
fn external_address(given: &str, path: &Path, errors: &mut Errors) {
    let Ok(address) = given.parse::<IpAddr>() else {
        errors.push(FieldError::invalid_text(path, given, IP_WORDS));
        return;
    };
    let (link_local, link_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    for (broken, detail) in [
        (address.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (link_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if broken {
            errors.push(FieldError::invalid_text(path, given, detail));
        }
    }
}

fn load_balancer(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let is_load_balancer = kind == "LoadBalancer";
    if !is_load_balancer && !spec["allocateLoadBalancerNodePorts"].is_null() {
        errors.push(FieldError::forbidden(
            &path.child("allocateLoadBalancerNodePorts"),
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    let ranges = items(spec, "loadBalancerSourceRanges");
    // The field's name is written so upstream.
    let at = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !is_load_balancer {
        errors.push(FieldError::forbidden(&at, "may only be used when `type` is 'LoadBalancer'"));
    }
    for (index, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        if !is_cidr(range.trim()) {
            errors.push(FieldError::invalid_text(
                &at.index(index),
                range,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ));
        }
    }
    if let Some(class) = text(spec, "loadBalancerClass") {
        let at = path.child("loadBalancerClass");
        if is_load_balancer {
            words(&at, class, name::qualified_name(class), errors);
        } else {
            errors.push(FieldError::forbidden(&at, "may only be used when `type` is 'LoadBalancer'"));
        }
    }
}

fn is_cidr(range: &str) -> bool {
    range.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|l| l <= most)
    })
}

fn policies(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let external =
        ["NodePort", "LoadBalancer"].contains(&kind) || (kind == "ClusterIP" && !items(spec, "externalIPs").is_empty());
    if let Some(policy) = text(spec, "externalTrafficPolicy").filter(|p| !p.is_empty()) {
        let at = path.child("externalTrafficPolicy");
        if !external {
            errors.push(FieldError::invalid_text(&at, policy, "may only be set for externally-accessible services"));
        } else if !["Cluster", "Local"].contains(&policy) {
            errors.push(FieldError::not_supported(&at, &spec["externalTrafficPolicy"], &["Cluster", "Local"]));
        }
    } else if external {
        errors.push(FieldError::required(&path.child("externalTrafficPolicy"), ""));
    }
    let health_port = integer(spec, "healthCheckNodePort").unwrap_or(0);
    let local = kind == "LoadBalancer" && text(spec, "externalTrafficPolicy") == Some("Local");
    if health_port != 0 && !local {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid_number(&path.child("healthCheckNodePort"), health_port, detail));
    }
    if let Some(policy) = text(spec, "internalTrafficPolicy").filter(|p| !["Cluster", "Local"].contains(p)) {
        errors.push(FieldError::not_supported(
            &path.child("internalTrafficPolicy"),
            &Value::from(policy),
            &["Cluster", "Local"],
        ));
    }
    if let Some(distribution) = text(spec, "trafficDistribution") {
        let known = ["PreferClose", "PreferSameNode", "PreferSameZone"];
        if !known.contains(&distribution) {
            errors.push(FieldError::not_supported(
                &path.child("trafficDistribution"),
                &spec["trafficDistribution"],
                &known,
            ));
        }
    }
}
