//! Rows of network kinds: services, endpoints, ingresses, policies, address ranges. From [`super::printer`]. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Row;
use super::age::age_at;
use super::selector_text::{NONE, cut_list, labels, selector};
use crate::json_field::{items, number, present, text, text_or, texts};

const CREATED: &str = "/metadata/creationTimestamp";
/// Members of a list shown before the rest is only counted.
const MOST: usize = 3;

pub(super) fn service(object: &Value, now: Timestamp) -> Row {
    let cluster_ip = items(object, "/spec/clusterIPs").first().and_then(Value::as_str).unwrap_or(NONE);
    let ports: Vec<String> = items(object, "/spec/ports").iter().map(port).collect();
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/type")),
        json!(cluster_ip),
        json!(external_address(object)),
        json!(if ports.is_empty() { NONE.to_owned() } else { ports.join(",") }),
        json!(age_at(object, CREATED, now)),
        json!(labels(object, "/spec/selector")),
    ])
}

fn port(port: &Value) -> String {
    let number_of = |pointer| number(port, pointer);
    let protocol = text(port, "/protocol");
    match number_of("/nodePort") {
        0 => format!("{}/{protocol}", number_of("/port")),
        node_port => format!("{}:{node_port}/{protocol}", number_of("/port")),
    }
}

fn external_address(service: &Value) -> String {
    let external = texts(service, "/spec/externalIPs");
    match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let balancer = balancer_addresses(service);
            let all: Vec<&str> = balancer.into_iter().chain(external).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses or host names a load balancer reports, sorted, each once.
fn balancer_addresses(object: &Value) -> BTreeSet<&str> {
    items(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|ingress| text_or(ingress, "/ip", text(ingress, "/hostname")))
        .filter(|address| !address.is_empty())
        .collect()
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Row {
    let subsets = items(object, "/subsets");
    let mut list = Vec::new();
    for subset in subsets {
        let addresses = items(subset, "/addresses").iter().map(|a| text(a, "/ip"));
        let ports = items(subset, "/ports");
        if ports.is_empty() {
            list.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in ports {
            list.extend(addresses.clone().map(|ip| join_host_port(ip, number(port, "/port"))));
        }
    }
    let shown = if subsets.is_empty() { NONE.to_owned() } else { cut_list(&list, MOST, list.len()) };
    Row::of(vec![json!(text(object, "/metadata/name")), json!(shown), json!(age_at(object, CREATED, now))])
}

fn join_host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Row {
    let ports: Vec<String> = items(object, "/ports")
        .iter()
        .map(|port| {
            if present(port, "/port") {
                number(port, "/port").to_string()
            } else if present(port, "/name") {
                text(port, "/name").to_owned()
            } else {
                "*".to_owned()
            }
        })
        .collect();
    let addresses: Vec<String> = items(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| texts(endpoint, "/addresses"))
        .map(str::to_owned)
        .collect();
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/addressType")),
        json!(or_unset(cut_list(&ports, MOST, ports.len()))),
        json!(or_unset(cut_list(&addresses, MOST, addresses.len()))),
        json!(age_at(object, CREATED, now)),
    ])
}

fn or_unset(list: String) -> String {
    if list.is_empty() { "<unset>".to_owned() } else { list }
}

pub(super) fn ingress(object: &Value, now: Timestamp) -> Row {
    let rules = items(object, "/spec/rules");
    let hosts: Vec<String> =
        rules.iter().map(|rule| text(rule, "/host").to_owned()).filter(|host| !host.is_empty()).collect();
    let hosts = if hosts.is_empty() {
        "*".to_owned()
    } else {
        // More than three rules are cut only once three hosts have been written.
        let total = if hosts.len() >= MOST { rules.len() } else { 0 };
        cut_list(&hosts, MOST, total)
    };
    let addresses: Vec<&str> = balancer_addresses(object).into_iter().collect();
    let ports = if items(object, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text_or(object, "/spec/ingressClassName", NONE)),
        json!(hosts),
        json!(addresses.join(",")),
        json!(ports),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Row {
    let parameters = object.pointer("/spec/parameters").map_or_else(
        || NONE.to_owned(),
        |parameters| {
            let group = text(parameters, "/apiGroup");
            let dot = if group.is_empty() { "" } else { "." };
            let (kind, name) = (text(parameters, "/kind"), text(parameters, "/name"));
            format!("{kind}{dot}{group}/{name}")
        },
    );
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(text(object, "/spec/controller")),
        json!(parameters),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(selector(object, "/spec/podSelector")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Row {
    Row::of(vec![
        json!(text(object, "/metadata/name")),
        json!(texts(object, "/spec/cidrs").join(",")),
        json!(age_at(object, CREATED, now)),
    ])
}

pub(super) fn ip_address(object: &Value, _now: Timestamp) -> Row {
    let parent = object.pointer("/spec/parentRef").map_or_else(
        || NONE.to_owned(),
        |parent| {
            let (group, resource) = (text(parent, "/group"), text(parent, "/resource"));
            let (namespace, name) = (text(parent, "/namespace"), text(parent, "/name"));
            let dot = if group.is_empty() { "" } else { "." };
            let slash = if namespace.is_empty() { "" } else { "/" };
            format!("{resource}{dot}{group}/{namespace}{slash}{name}")
        },
    );
    Row::of(vec![json!(text(object, "/metadata/name")), json!(parent)])
}
