//! What a Service asks for: families, addresses, node ports. From [`super`]; to it. Pure.
//!
//! The rules are those of upstream's `pkg/registry/core/service/storage/alloc.go` (v1.34).

use serde_json::{Value, json};
use skep_api::field::{FieldError, Path};
use skep_api::meta::map_mut;

/// A node port a client asked for.
pub(super) struct Asked {
    pub(super) port: u16,
    pub(super) path: Path,
}

/// Where a node port is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Port(usize),
    HealthCheck,
}

fn spec<'a>(service: &'a Value, field: &str) -> &'a Value {
    service.get("spec").and_then(|s| s.get(field)).unwrap_or(&Value::Null)
}

fn service_type(service: &Value) -> &str {
    spec(service, "type").as_str().unwrap_or("ClusterIP")
}

fn is_external_name(service: &Value) -> bool {
    service_type(service) == "ExternalName"
}

fn is_headless(service: &Value) -> bool {
    spec(service, "clusterIP").as_str() == Some("None")
        || spec(service, "clusterIPs").get(0).and_then(Value::as_str) == Some("None")
}

fn needs_cluster_ip(service: &Value) -> bool {
    !is_external_name(service) && !is_headless(service)
}

fn needs_node_ports(service: &Value) -> bool {
    match service_type(service) {
        "NodePort" => true,
        "LoadBalancer" => spec(service, "allocateLoadBalancerNodePorts").as_bool() != Some(false),
        _ => false,
    }
}

fn may_hold_node_ports(service: &Value) -> bool {
    matches!(service_type(service), "NodePort" | "LoadBalancer")
}

fn needs_health_check_port(service: &Value) -> bool {
    service_type(service) == "LoadBalancer" && spec(service, "externalTrafficPolicy").as_str() == Some("Local")
}

/// Addresses (not `None`) that the Service names.
pub(super) fn cluster_ips(service: &Value) -> Vec<String> {
    if !needs_cluster_ip(service) {
        return Vec::new();
    }
    let list: Vec<String> = texts(spec(service, "clusterIPs"));
    match (list.is_empty(), spec(service, "clusterIP").as_str()) {
        (true, Some(ip)) if !ip.is_empty() => vec![ip.to_owned()],
        _ => list,
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().map(|l| l.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
}

/// Families that need an address each.
pub(super) fn wanted_families(service: &Value) -> Vec<String> {
    if needs_cluster_ip(service) { texts(spec(service, "ipFamilies")) } else { Vec::new() }
}

/// Writes the addresses to `clusterIP` and `clusterIPs`.
pub(super) fn set_cluster_ips(service: &mut Value, ips: &[String]) {
    if !needs_cluster_ip(service) {
        return;
    }
    let spec = map_mut(service, "spec");
    if let Some(first) = ips.first() {
        spec.insert("clusterIP".to_owned(), json!(first));
        spec.insert("clusterIPs".to_owned(), json!(ips));
    }
}

/// Settles `ipFamilyPolicy` and `ipFamilies` for the families the cluster serves (primary first).
///
/// # Errors
/// When the Service asks for a family the cluster does not have.
pub fn families(service: &mut Value, old: Option<&Value>, served: &[&str]) -> Result<(), FieldError> {
    if is_external_name(service) {
        let spec = map_mut(service, "spec");
        // A Service that becomes a name gives back what it had.
        if old.is_some_and(|old| !is_external_name(old)) {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.remove(field);
            }
        }
        return Ok(());
    }
    let headless = is_headless(service);
    if headless {
        let spec = map_mut(service, "spec");
        spec.insert("clusterIP".to_owned(), json!("None"));
        spec.insert("clusterIPs".to_owned(), json!(["None"]));
    }
    let ips = cluster_ips(service);
    let mut list = texts(spec(service, "ipFamilies"));
    for (index, (ip, family)) in ips.iter().zip(&list).enumerate() {
        if ip.contains(':') != (family == "IPv6") {
            let path = Path::new("spec").child("clusterIPs").index(index);
            let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            return Err(FieldError::invalid_text(&path, ip, why));
        }
    }
    for ip in ips.iter().skip(list.len()) {
        list.push(if ip.contains(':') { "IPv6".to_owned() } else { "IPv4".to_owned() });
    }
    let selectorless = headless && spec(service, "selector").as_object().is_none_or(serde_json::Map::is_empty);
    let policy = match spec(service, "ipFamilyPolicy").as_str() {
        Some(policy) => policy.to_owned(),
        None if ips.len() > 1 || list.len() > 1 || selectorless => "RequireDualStack".to_owned(),
        None => "SingleStack".to_owned(),
    };
    if !selectorless {
        let path = Path::new("spec");
        for (index, family) in list.iter().enumerate() {
            if !served.contains(&family.as_str()) {
                let path = path.child("ipFamilies").index(index);
                return Err(FieldError::invalid_text(&path, family, "not configured on this cluster"));
            }
        }
        if policy == "RequireDualStack" && served.len() < 2 {
            let why = "this cluster is not configured for dual-stack services";
            return Err(FieldError::invalid_text(&path.child("ipFamilyPolicy"), &policy, why));
        }
    }
    if list.is_empty() {
        list.extend(served.first().map(|family| (*family).to_owned()));
    }
    match policy.as_str() {
        "SingleStack" => list.truncate(1),
        _ if list.len() < 2 && (served.len() > 1 || selectorless) => {
            let other = if list.first().is_some_and(|f| f == "IPv4") { "IPv6" } else { "IPv4" };
            list.push(other.to_owned());
        }
        _ => {}
    }
    // From two families to one: the second address goes back.
    if list.len() < ips.len() {
        let kept: Vec<String> = ips.into_iter().take(list.len()).collect();
        set_cluster_ips(service, &kept);
    }
    let spec = map_mut(service, "spec");
    spec.insert("ipFamilies".to_owned(), json!(list));
    spec.insert("ipFamilyPolicy".to_owned(), json!(policy));
    Ok(())
}

fn port_number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
}

fn ports(service: &Value) -> &[Value] {
    spec(service, "ports").as_array().map_or(&[], Vec::as_slice)
}

/// Node ports that a Service names and may hold.
pub(super) fn node_ports(service: &Value) -> Vec<u16> {
    asked_node_ports(service).into_iter().map(|asked| asked.port).collect()
}

/// The same, with their places.
pub(super) fn asked_node_ports(service: &Value) -> Vec<Asked> {
    if !may_hold_node_ports(service) {
        return Vec::new();
    }
    let path = Path::new("spec");
    let mut asked: Vec<Asked> = ports(service)
        .iter()
        .enumerate()
        .filter_map(|(index, port)| {
            let port = port_number(port.get("nodePort")?)?;
            Some(Asked { port, path: path.child("ports").index(index).child("nodePort") })
        })
        .collect();
    if needs_health_check_port(service)
        && let Some(port) = port_number(spec(service, "healthCheckNodePort"))
    {
        asked.push(Asked { port, path: path.child("healthCheckNodePort") });
    }
    asked
}

/// Where node ports must be chosen.
pub(super) fn missing_node_ports(service: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    if needs_node_ports(service) {
        let missing =
            ports(service).iter().enumerate().filter(|(_, p)| p.get("nodePort").and_then(port_number).is_none());
        places.extend(missing.map(|(index, _)| Place::Port(index)));
    }
    if needs_health_check_port(service) && port_number(spec(service, "healthCheckNodePort")).is_none() {
        places.push(Place::HealthCheck);
    }
    places
}

/// The node port of another port with the same number and another protocol.
pub(super) fn shared_node_port(service: &Value, place: &Place) -> Option<u16> {
    let Place::Port(index) = place else { return None };
    let own = ports(service).get(*index)?;
    ports(service)
        .iter()
        .filter(|other| other.get("port") == own.get("port") && other.get("protocol") != own.get("protocol"))
        .find_map(|other| port_number(other.get("nodePort")?))
}

/// Writes a chosen node port.
pub(super) fn set_node_port(service: &mut Value, place: &Place, port: u16) {
    let spec = map_mut(service, "spec");
    match place {
        Place::HealthCheck => drop(spec.insert("healthCheckNodePort".to_owned(), json!(port))),
        Place::Port(index) => {
            let entry = spec.get_mut("ports").and_then(|ports| ports.get_mut(index)).and_then(Value::as_object_mut);
            if let Some(entry) = entry {
                entry.insert("nodePort".to_owned(), json!(port));
            }
        }
    }
}

/// Takes over what an update leaves out although the Service goes on needing it, and drops the families of a Service that becomes a
/// name. (The kind's strategy drops what else goes with a type.)
pub fn before_update(new: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        let (held, held_list) = (spec(old, "clusterIP").clone(), spec(old, "clusterIPs").clone());
        let spec = map_mut(new, "spec");
        if spec.get("clusterIP").and_then(Value::as_str).unwrap_or_default().is_empty() && held.is_string() {
            spec.insert("clusterIP".to_owned(), held.clone());
        }
        let no_list = spec.get("clusterIPs").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if no_list && spec.get("clusterIP") == Some(&held) && held_list.is_array() {
            spec.insert("clusterIPs".to_owned(), held_list);
        }
    }
    if !is_external_name(old) && !is_external_name(new) {
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            let held = spec(old, field).clone();
            let spec = map_mut(new, "spec");
            if !held.is_null() && spec.get(field).is_none_or(Value::is_null) {
                spec.insert(field.to_owned(), held);
            }
        }
    }
    if may_hold_node_ports(old) && needs_node_ports(new) {
        keep_node_ports(new, old);
    }
    if !is_external_name(old) && is_external_name(new) {
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if spec(new, field) == spec(old, field) {
                map_mut(new, "spec").remove(field);
            }
        }
    }
    if needs_health_check_port(old) && needs_health_check_port(new) {
        let held = spec(old, "healthCheckNodePort").clone();
        let spec = map_mut(new, "spec");
        if spec.get("healthCheckNodePort").and_then(port_number).is_none() && !held.is_null() {
            spec.insert("healthCheckNodePort".to_owned(), held);
        }
    }
}

fn keep_node_ports(new: &mut Value, old: &Value) {
    let named: Vec<u16> = node_ports(new);
    let held: Vec<(Value, u16)> = ports(old)
        .iter()
        .filter_map(|p| Some((p.get("name").cloned().unwrap_or_default(), port_number(p.get("nodePort")?)?)))
        .collect();
    let list = map_mut(new, "spec").get_mut("ports").and_then(Value::as_array_mut);
    for port in list.into_iter().flatten() {
        if port.get("nodePort").and_then(port_number).is_some() {
            continue;
        }
        let name = port.get("name").cloned().unwrap_or_default();
        let kept = held.iter().find(|(n, p)| *n == name && !named.contains(p));
        if let (Some((_, kept)), Some(map)) = (kept, port.as_object_mut()) {
            map.insert("nodePort".to_owned(), json!(kept));
        }
    }
}

#[cfg(test)]
mod tests;
