//! Environment variables that name Services, in the style of Docker links; from Services; to [`environment`](super::environment).
//! Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;

/// Variables of the Services a pod in `namespace` is told about: those of its own namespace if `links`, and always the API
/// server's own (`kubernetes` in `default`).
pub fn variables(services: &[impl AsRef<Service>], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services.iter().map(AsRef::as_ref).filter(|service| cluster_ip(service).is_some()) {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let own = service.metadata.namespace.as_deref().unwrap_or_default();
        if own == namespace && links {
            chosen.insert(name, service);
        } else if own == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(service);
        }
    }
    let mut variables = BTreeMap::new();
    for (name, service) in chosen {
        add(&mut variables, name, service);
    }
    variables
}

fn cluster_ip(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

fn add(variables: &mut BTreeMap<String, String>, name: &str, service: &Service) {
    let (Some(ip), Some(spec)) = (cluster_ip(service), service.spec.as_ref()) else { return };
    let prefix = variable_name(name);
    let ports = spec.ports.as_deref().unwrap_or_default();
    variables.insert(format!("{prefix}_SERVICE_HOST"), ip.to_string());
    for (index, port) in ports.iter().enumerate() {
        let number = port.port.to_string();
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let url = format!("{lower}://{host}:{number}");
        if index == 0 {
            variables.insert(format!("{prefix}_SERVICE_PORT"), number.clone());
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.insert(format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), number.clone());
        }
        let link = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.insert(link.clone(), url);
        variables.insert(format!("{link}_PROTO"), lower);
        variables.insert(format!("{link}_PORT"), number);
        variables.insert(format!("{link}_ADDR"), ip.to_string());
    }
}

fn variable_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_services_like_docker_links() {
        let services: Vec<std::sync::Arc<Service>> = serde_json::from_value(json!([
            {"metadata": {"name": "my-db", "namespace": "app"}, "spec": {"clusterIP": "10.0.0.5",
                "ports": [{"name": "pg-main", "port": 5432, "protocol": "TCP"}, {"name": "m", "port": 53, "protocol": "UDP"}]}},
            {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIP": "10.0.0.1",
                "ports": [{"name": "https", "port": 443}]}},
            {"metadata": {"name": "headless", "namespace": "app"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
            {"metadata": {"name": "other", "namespace": "elsewhere"}, "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 1}]}},
        ]))
        .unwrap();
        let found = variables(&services, "app", true);
        for (name, value) in [
            ("MY_DB_SERVICE_HOST", "10.0.0.5"),
            ("MY_DB_SERVICE_PORT", "5432"),
            ("MY_DB_SERVICE_PORT_PG_MAIN", "5432"),
            ("MY_DB_PORT", "tcp://10.0.0.5:5432"),
            ("MY_DB_PORT_5432_TCP", "tcp://10.0.0.5:5432"),
            ("MY_DB_PORT_5432_TCP_ADDR", "10.0.0.5"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!found.keys().any(|name| name.starts_with("HEADLESS") || name.starts_with("OTHER")));
        let without = variables(&services, "app", false);
        assert!(without.keys().all(|name| name.starts_with("KUBERNETES_")) && !without.is_empty());
    }
}
