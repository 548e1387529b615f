//! The map of address ranges: whose pods are where. From [`crate::watch`]; to `NODES`. What is wanted is pure; the map
//! is small and compared whole.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use skep_proxy_ebpf::maps::node::{NodeKey, NodeValue, Reach};

use crate::datapath::typed_maps::{MapError, NodeRange, TypedMaps};
use crate::objects::Node;

/// Ranges by prefix length (of the mapped address) and network.
pub type Ranges = BTreeMap<(u32, NodeKey), NodeValue>;

/// Every range of the cluster, as this node must reach it. `direct` are ranges reached without masquerade.
#[must_use]
pub fn wanted<'a, I: Iterator<Item = &'a Node>>(own: &str, nodes: I, direct: &[IpNetwork]) -> Ranges {
    let mut ranges = Ranges::new();
    let mut add = |network: IpAddr, prefix: u8, value: NodeValue| {
        if let Some(range) = NodeKey::range(network, prefix) {
            ranges.insert(range, value);
        }
    };
    for range in direct {
        add(range.network(), range.prefix(), NodeValue::without_tunnel(Reach::Direct));
    }
    for node in nodes {
        let is_own = *node.name == *own;
        let Some(end) = tunnel_end(node) else { continue };
        let pods = if is_own { NodeValue::without_tunnel(Reach::LocalPods) } else { NodeValue::overlay(end) };
        let address = if is_own { NodeValue::without_tunnel(Reach::Own) } else { NodeValue::overlay(end) };
        for range in &node.pod_cidrs {
            add(range.network(), range.prefix(), pods);
        }
        for ip in &node.addresses {
            add(*ip, if ip.is_ipv4() { 32 } else { 128 }, address);
        }
    }
    ranges
}

/// Where a node's end of the tunnel is: IPv4 first, whose outer header is shorter.
#[must_use]
pub fn tunnel_end(node: &Node) -> Option<IpAddr> {
    node.addresses.iter().find(|ip| ip.is_ipv4()).or_else(|| node.addresses.first()).copied()
}

/// Makes the map hold exactly `wanted`; new ranges first. Returns how many elements changed.
///
/// # Errors
/// When the map cannot be read or changed.
pub fn sync(wanted: &Ranges, maps: &TypedMaps) -> Result<usize, MapError> {
    let actual: Ranges =
        maps.nodes.dump()?.into_iter().map(|(key, value)| ((key.prefix_len(), key.data()), value)).collect();
    let mut changed = 0;
    for ((prefix, key), value) in wanted.iter().filter(|(key, value)| actual.get(key) != Some(value)) {
        maps.nodes.put(&NodeRange::new(*prefix, *key), value)?;
        changed += 1;
    }
    for (prefix, key) in actual.keys().filter(|key| !wanted.contains_key(key)) {
        maps.nodes.delete(&NodeRange::new(*prefix, *key))?;
        changed += 1;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
