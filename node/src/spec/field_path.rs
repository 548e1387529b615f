//! The downward API: values of pod fields and container resources; from specs; to [`environment`](super::environment) and
//! [`volumes`](crate::volumes). Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::{pod, quantity};

/// What a pod can be told beyond its own object.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Addresses of the node.
    pub host_ips: Vec<IpAddr>,
    /// Addresses of the pod, of the preferred family first; empty before the sandbox runs.
    pub pod_ips: Vec<IpAddr>,
    /// What the node offers: the limit of containers without one.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// Why a field has no value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldError {
    /// No such field can be referred to.
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    /// The resource reference names no container of the pod.
    #[error("container {0} not found")]
    NoContainer(String),
    /// No such resource can be referred to.
    #[error("unsupported container resource : {0}")]
    UnsupportedResource(String),
    /// The quantity in the spec is malformed.
    #[error("{0} is not a quantity")]
    Quantity(String),
}

/// The value of a pod field.
///
/// # Errors
/// There is no such field.
pub fn field(pod: &Pod, path: &str, surroundings: &Surroundings) -> Result<String, FieldError> {
    let metadata = &pod.metadata;
    if let Some((path, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match path {
            "metadata.annotations" => metadata.annotations.as_ref(),
            "metadata.labels" => metadata.labels.as_ref(),
            _ => return Err(FieldError::Unsupported(path.to_owned())),
        };
        return Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let all = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    let spec = pod::spec(pod);
    Ok(match path {
        "metadata.name" => pod::name(pod).to_owned(),
        "metadata.namespace" => pod::namespace(pod).to_owned(),
        "metadata.uid" => pod::uid(pod).to_owned(),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&surroundings.host_ips),
        "status.hostIPs" => all(&surroundings.host_ips),
        "status.podIP" => first(&surroundings.pod_ips),
        "status.podIPs" => all(&surroundings.pod_ips),
        other => return Err(FieldError::Unsupported(other.to_owned())),
    })
}

/// A map as the downward API writes it: sorted `key="value"` lines, values quoted with backslash escapes.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| {
        let mut quoted = String::new();
        for c in value.chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c => quoted.push(c),
            }
        }
        format!("{key}=\"{quoted}\"")
    };
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// The value of a container resource in units of the divisor.
///
/// # Errors
/// There is no such container or resource.
pub fn resource(
    pod: &Pod,
    default_container: &Container,
    selector: &ResourceFieldSelector,
    surroundings: &Surroundings,
) -> Result<String, FieldError> {
    let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => default_container.clone(),
        Some(name) => pod::find_container(pod, name).ok_or_else(|| FieldError::NoContainer(name.to_owned()))?.1,
    };
    let resources = container.resources.unwrap_or_default();
    let (requests, limits) = (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
    let amount = match selector.resource.split_once('.') {
        Some(("limits", name)) if known(name) => limits.get(name).or_else(|| surroundings.allocatable.get(name)),
        Some(("requests", name)) if known(name) => requests.get(name).or_else(|| limits.get(name)),
        _ => return Err(FieldError::UnsupportedResource(selector.resource.clone())),
    };
    let Some(amount) = amount else { return Ok("0".to_owned()) };
    let value = quantity::divided(amount, selector.divisor.as_ref());
    value.map(|value| value.to_string()).ok_or_else(|| FieldError::Quantity(amount.0.clone()))
}

fn known(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}
