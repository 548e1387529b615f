//! Identities that do not depend on history: the same on every node and across restarts. To [`crate::entries`]. Pure.

use sha2::{Digest as _, Sha256};
use skep_proxy_ebpf::protocol::Protocol;

use crate::objects::ObjectName;

/// The identity of a Service port. A Service that was deleted and made anew has another one (its UID differs). Never 0,
/// which means "no Service" in the maps.
#[must_use]
pub fn service_port(service: &ObjectName, uid: &str, port_name: &str, protocol: Protocol) -> u64 {
    let mut hash = Sha256::new();
    for part in [&*service.namespace, &*service.name, uid, port_name, protocol.name()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    number(hash)
}

/// The first 64 bits; never 0, which means "none" in every map.
pub(crate) fn number(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let web = ObjectName::new("default", "web");
        let id = |name: &ObjectName, uid, port, protocol| service_port(name, uid, port, protocol);
        let all = [
            id(&web, "u1", "http", Protocol::Tcp),
            id(&web, "u2", "http", Protocol::Tcp),
            id(&web, "u1", "https", Protocol::Tcp),
            id(&web, "u1", "http", Protocol::Udp),
            id(&ObjectName::new("defaul", "tweb"), "u1", "http", Protocol::Tcp),
        ];
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        // Part of the layout: counters in the kernel are kept under it.
        assert_eq!(all[0], id(&web, "u1", "http", Protocol::Tcp));
    }
}
