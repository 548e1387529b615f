//! Cluster IPs, IP families and node ports of Services. From create and update; to the same transaction as the Service.
//!
//! What is wanted is in [`plan`]; an address is claimed by its `IPAddress` object, a node port by a key of its own, so that no restart or second server can
//! give one out twice.

mod plan;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use bytes::Bytes;
use ipnetwork::IpNetwork;
use rand::RngExt as _;
use serde_json::{Value, json};
use skep_api::field::{FieldError, Path};
use skep_api::meta;
use skep_storage::key::KeyRange;
use skep_storage::store::RangeRequest;

use super::SideWrites;
use crate::registry::{Registry, write};
use crate::status::ApiError;

pub use plan::{before_update, families};

/// Below this prefix lies one key per node port in use.
const NODE_PORTS: &str = "/registry/ranges/servicenodeports/";
/// Random draws before the range is searched in order.
const DRAWS: usize = 64;

/// What can be given out.
#[derive(Clone, Debug)]
pub struct Ranges {
    /// Cluster IPs, the primary family first.
    cluster_ips: Vec<IpNetwork>,
    node_ports: RangeInclusive<u16>,
}

impl Ranges {
    /// The configured ranges.
    #[must_use]
    pub fn new(cluster_ips: &[IpNetwork], node_ports: RangeInclusive<u16>) -> Self {
        Self { cluster_ips: cluster_ips.to_vec(), node_ports }
    }

    /// `IPv4`, `IPv6`: the families served, primary first.
    #[must_use]
    pub fn families(&self) -> Vec<&'static str> {
        self.cluster_ips.iter().map(|range| if range.is_ipv4() { "IPv4" } else { "IPv6" }).collect()
    }

    fn range(&self, family: &str) -> Option<&IpNetwork> {
        self.cluster_ips.iter().find(|range| range.is_ipv4() == (family == "IPv4"))
    }
}

/// Fills in families, cluster IPs and node ports of `object`.
pub(super) async fn allocate(
    registry: &Registry,
    ranges: &Ranges,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<SideWrites, ApiError> {
    let name = meta::name(object).to_owned();
    let invalid = |error: FieldError| ApiError::invalid("", "Service", &name, vec![error]);
    families(object, old, &ranges.families()).map_err(invalid)?;
    let mut side = SideWrites::default();
    cluster_ips(registry, ranges, object, old, &mut side).await?;
    node_ports(registry, ranges, object, old, &mut side).await?;
    Ok(side)
}

/// The keys that belong to a Service which goes away.
pub(super) fn release(registry: &Registry, service: &Value) -> SideWrites {
    let releases = plan::cluster_ips(service)
        .iter()
        .filter_map(|ip| address_key(registry, ip))
        .chain(plan::node_ports(service).into_iter().map(port_key))
        .collect();
    SideWrites { releases, ..SideWrites::default() }
}

fn address_key(registry: &Registry, ip: &str) -> Option<Bytes> {
    let target = registry.stored("networking.k8s.io", "ipaddresses")?;
    Some(target.resource.key("", ip))
}

fn port_key(port: u16) -> Bytes {
    Bytes::from(format!("{NODE_PORTS}{port}"))
}

async fn is_taken(registry: &Registry, key: &Bytes) -> Result<bool, ApiError> {
    let found = registry.store().range(RangeRequest::single(key.clone()).count_only()).await?;
    Ok(found.count > 0)
}

async fn cluster_ips(
    registry: &Registry,
    ranges: &Ranges,
    object: &mut Value,
    old: Option<&Value>,
    side: &mut SideWrites,
) -> Result<(), ApiError> {
    let name = meta::name(object).to_owned();
    let held = old.map(plan::cluster_ips).unwrap_or_default();
    let mut ips = plan::cluster_ips(object);
    for ip in ips.iter().filter(|ip| !held.contains(ip)) {
        let refuse = |why: &str| {
            let path = Path::new("spec").child("clusterIPs");
            let error = FieldError::invalid(&path, &json!([ip]), format!("failed to allocate IP {ip}: {why}"));
            ApiError::invalid("", "Service", &name, vec![error])
        };
        let Ok(address) = ip.parse::<IpAddr>() else { return Err(refuse("is not an IP address")) };
        if !ranges.cluster_ips.iter().any(|range| is_usable(range, address)) {
            return Err(refuse("the provided network does not match the current range"));
        }
        let Some(key) = address_key(registry, ip) else { return Err(ApiError::internal("IPAddress is not served")) };
        if is_taken(registry, &key).await? {
            return Err(refuse("provided IP is already allocated"));
        }
        side.claims.push((key, address_object(object, address)));
    }
    for family in plan::wanted_families(object).into_iter().skip(ips.len()) {
        let Some(range) = ranges.range(&family) else { continue };
        let (key, address) = free_address(registry, range).await?;
        side.claims.push((key, address_object(object, address)));
        ips.push(address.to_string());
    }
    side.releases.extend(held.iter().filter(|ip| !ips.contains(ip)).filter_map(|ip| address_key(registry, ip)));
    plan::set_cluster_ips(object, &ips);
    Ok(())
}

/// The network address and (for IPv4) the broadcast address are nobody's.
fn is_usable(range: &IpNetwork, address: IpAddr) -> bool {
    range.contains(address) && address != range.network() && !(range.is_ipv4() && address == range.broadcast())
}

async fn free_address(registry: &Registry, range: &IpNetwork) -> Result<(Bytes, IpAddr), ApiError> {
    let (first, size) = match range {
        IpNetwork::V4(v4) => (u128::from(u32::from(v4.network())), u128::from(v4.size())),
        IpNetwork::V6(v6) => (u128::from(v6.network()), v6.size().max(1)),
    };
    let address = |offset: u128| match range {
        IpNetwork::V4(_) => u32::try_from(first + offset).ok().map(|bits| IpAddr::from(bits.to_be_bytes())),
        IpNetwork::V6(_) => Some(IpAddr::from((first + offset).to_be_bytes())),
    };
    // The low end is left for addresses asked for by hand, as upstream does, while there are others.
    let reserved = (size / 16).clamp(16, 256).min(size / 2);
    let last = size.saturating_sub(2).max(1);
    let drawn: Vec<u128> = (0..DRAWS).map(|_| rand::rng().random_range(reserved.min(last)..=last)).collect();
    for offset in drawn.into_iter().chain(1..=last.min(1 << 20)) {
        let Some(address) = address(offset) else { continue };
        let Some(key) = address_key(registry, &address.to_string()) else { break };
        let known = registry.stored("networking.k8s.io", "ipaddresses").and_then(|t| t.resource.cache.peek(&key));
        if known.is_none() && !is_taken(registry, &key).await? {
            return Ok((key, address));
        }
    }
    Err(ApiError::internal(format!("failed to allocate a serviceIP: range is full ({range})")))
}

/// The `IPAddress` object that claims an address for a Service.
fn address_object(service: &Value, address: IpAddr) -> Bytes {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(),
            "uid": write::new_uid(),
            "creationTimestamp": write::now(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family,
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {
            "resource": "services", "namespace": meta::namespace(service), "name": meta::name(service),
        }},
    });
    Bytes::from(skep_api::encode::to_json(&object))
}

async fn node_ports(
    registry: &Registry,
    ranges: &Ranges,
    object: &mut Value,
    old: Option<&Value>,
    side: &mut SideWrites,
) -> Result<(), ApiError> {
    let name = meta::name(object).to_owned();
    let held = old.map(plan::node_ports).unwrap_or_default();
    let mut taken: Option<Vec<u16>> = None;
    let mut now_held: Vec<u16> = plan::node_ports(object);
    for asked in plan::asked_node_ports(object) {
        if held.contains(&asked.port) || side.claims.iter().any(|(key, _)| *key == port_key(asked.port)) {
            continue;
        }
        let refuse = |why: String| {
            let error = FieldError::invalid_number(&asked.path, asked.port.into(), why);
            ApiError::invalid("", "Service", &name, vec![error])
        };
        if !ranges.node_ports.contains(&asked.port) {
            let (first, last) = (ranges.node_ports.start(), ranges.node_ports.end());
            return Err(refuse(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            )));
        }
        if is_taken(registry, &port_key(asked.port)).await? {
            return Err(refuse("provided port is already allocated".to_owned()));
        }
        side.claims.push((port_key(asked.port), Bytes::new()));
    }
    for place in plan::missing_node_ports(object) {
        // Ports of one number and different protocols share a node port.
        let port = match plan::shared_node_port(object, &place) {
            Some(port) => port,
            None => {
                if taken.is_none() {
                    taken = Some(ports_in_use(registry).await?);
                }
                let port = free_port(ranges, taken.as_deref().unwrap_or_default(), &now_held)?;
                side.claims.push((port_key(port), Bytes::new()));
                port
            }
        };
        now_held.push(port);
        plan::set_node_port(object, &place, port);
    }
    let finally = plan::node_ports(object);
    side.releases.extend(held.into_iter().filter(|port| !finally.contains(port)).map(port_key));
    Ok(())
}

async fn ports_in_use(registry: &Registry) -> Result<Vec<u16>, ApiError> {
    let found = registry.store().range(RangeRequest::new(KeyRange::prefix(NODE_PORTS))).await?;
    let port = |key: &[u8]| std::str::from_utf8(key.get(NODE_PORTS.len()..)?).ok()?.parse().ok();
    Ok(found.items.iter().filter_map(|item| port(&item.key)).collect())
}

fn free_port(ranges: &Ranges, taken: &[u16], held: &[u16]) -> Result<u16, ApiError> {
    let is_free = |port: &u16| !taken.contains(port) && !held.contains(port);
    let mut random = rand::rng();
    let drawn: Vec<u16> = (0..DRAWS).map(|_| random.random_range(ranges.node_ports.clone())).collect();
    drawn
        .into_iter()
        .chain(ranges.node_ports.clone())
        .find(is_free)
        .ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))
}
