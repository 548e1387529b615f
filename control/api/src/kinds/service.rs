//! Service; pure. Addresses and node ports are given by allocators of the server.

use serde_json::{Value, json};

use super::service_validation;
use crate::field::FieldError;
use crate::name;
use crate::schema::default::{absent, absent_texts, each, object, object_at};
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct Service;

impl Strategy for Service {
    fn defaults(&self, value: &mut Value) {
        let Some(Value::Object(spec)) = value.get_mut("spec") else { return };
        absent_texts(spec, &[("sessionAffinity", "None"), ("type", "ClusterIP")]);
        let text = |field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (affinity, service_type) = (text("sessionAffinity"), text("type"));
        match affinity.as_str() {
            "ClientIP" => {
                let client = object(object(spec, "sessionAffinityConfig"), "clientIP");
                absent(client, "timeoutSeconds", 10800);
            }
            "None" => {
                spec.remove("sessionAffinityConfig");
            }
            _ => {}
        }
        each(spec, "ports", |port| {
            absent_texts(port, &[("protocol", "TCP")]);
            let unset =
                matches!(port.get("targetPort"), None | Some(Value::Null)) || port.get("targetPort") == Some(&json!(0));
            let unset = unset || port.get("targetPort") == Some(&json!(""));
            if unset {
                let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
                port.insert("targetPort".to_owned(), number);
            }
        });
        let external = matches!(service_type.as_str(), "NodePort" | "LoadBalancer");
        let has_external_ips = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|l| !l.is_empty());
        if external || (service_type == "ClusterIP" && has_external_ips) {
            absent_texts(spec, &[("externalTrafficPolicy", "Cluster")]);
        }
        if matches!(service_type.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            absent(spec, "internalTrafficPolicy", "Cluster");
        }
        if service_type == "LoadBalancer" {
            absent(spec, "allocateLoadBalancerNodePorts", true);
        }
        object_at(crate::meta::as_map_mut(value), "status", |status| {
            object_at(status, "loadBalancer", |balancer| {
                each(balancer, "ingress", |ingress| {
                    if ingress.get("ip").is_some() {
                        absent(ingress, "ipMode", "VIP");
                    }
                });
            });
        });
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        if part == Part::Whole {
            follow_the_one_address(new, old);
            drop_what_went_with_the_type(new, old);
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        service_validation::service(object, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if part == Part::Whole {
            service_validation::service(new, &mut errors);
            service_validation::service_update(new, old, &mut errors);
        }
        errors
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }

    fn validate_name(&self, value: &str, prefix: bool) -> Vec<String> {
        name::dns1035_label(value, prefix)
    }

    fn has_status(&self) -> bool {
        true
    }
}

/// A client that knows only `clusterIP` changes the first of `clusterIPs` with it.
fn follow_the_one_address(new: &mut Value, old: &Value) {
    let address = new["spec"]["clusterIP"].clone();
    let changed = address.as_str().is_some_and(|text| !text.is_empty()) && address != old["spec"]["clusterIP"];
    if changed
        && new["spec"]["clusterIPs"] == old["spec"]["clusterIPs"]
        && let Some(Value::Array(list)) = new["spec"].get_mut("clusterIPs")
        && let Some(first) = list.first_mut()
    {
        *first = address;
    }
}

/// Fields that the old type had and the new one has no use for go, unless the client changed them.
fn drop_what_went_with_the_type(new: &mut Value, old: &Value) {
    let kind = |service: &Value| service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
    let external = |service: &Value| {
        let addresses = service["spec"]["externalIPs"].as_array().is_some_and(|list| !list.is_empty());
        matches!(kind(service).as_str(), "NodePort" | "LoadBalancer") || (kind(service) == "ClusterIP" && addresses)
    };
    let balancer = |service: &Value| kind(service) == "LoadBalancer";
    let has_address = |service: &Value| kind(service) != "ExternalName";
    // A balancer that needs no new node ports keeps those it has.
    let node_ports = |service: &Value| matches!(kind(service).as_str(), "NodePort" | "LoadBalancer");
    let health = |service: &Value| balancer(service) && service["spec"]["externalTrafficPolicy"] == "Local";
    let ended = |needs: &dyn Fn(&Value) -> bool| needs(old) && !needs(new);
    let mut gone: Vec<&str> = Vec::new();
    if ended(&has_address) {
        gone.extend(["clusterIP", "clusterIPs", "internalTrafficPolicy"]);
    }
    if ended(&health) {
        gone.push("healthCheckNodePort");
    }
    if ended(&balancer) {
        gone.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if ended(&external) {
        gone.push("externalTrafficPolicy");
    }
    let ports = |service: &Value| -> Vec<Value> {
        let list = service["spec"]["ports"].as_array().into_iter().flatten();
        list.map(|port| port["nodePort"].clone()).collect()
    };
    let drop_node_ports = ended(&node_ports) && ports(new) == ports(old);
    let Some(Value::Object(spec)) = new.get_mut("spec") else { return };
    for field in gone {
        if spec.get(field) == old["spec"].get(field) {
            spec.remove(field);
        }
    }
    if drop_node_ports {
        each(spec, "ports", |port| {
            port.remove("nodePort");
        });
    }
}
