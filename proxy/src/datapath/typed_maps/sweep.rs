//! Ends translated flows that have been silent for too long. From the agent's clock; to `CONNTRACK`.

use std::collections::HashMap;

use skep_proxy_ebpf::maps::conntrack::{ConntrackKey, ConntrackValue};

use super::{MapError, TypedMaps};

/// What a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Swept {
    /// Entries that live on.
    pub live: usize,
    /// Entries that were deleted.
    pub expired: usize,
}

impl TypedMaps {
    /// Deletes flows whose last packet, in either direction, is longer ago than they may be silent. `now_ns` is the
    /// monotonic clock, see [`monotonic_ns`].
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn sweep_conntrack(&self, now_ns: u64) -> Result<Swept, MapError> {
        let entries = self.conntrack.dump()?;
        let expired = expired(&entries, now_ns);
        self.conntrack.delete_all(&expired)?;
        Ok(Swept { live: entries.len().saturating_sub(expired.len()), expired: expired.len() })
    }
}

impl TypedMaps {
    /// The same for flows that network policies allowed.
    ///
    /// # Errors
    /// [`MapError::Kernel`].
    pub fn sweep_policy_flows(&self, now_ns: u64) -> Result<Swept, MapError> {
        let mut swept = Swept::default();
        let mut expired = Vec::new();
        self.policy_flows.visit(|key, flow| {
            if now_ns.saturating_sub(flow.last_seen_ns) > flow.timeout_ns(key.protocol()) {
                expired.push(key);
            } else {
                swept.live += 1;
            }
        })?;
        self.policy_flows.delete_all(&expired)?;
        Ok(Swept { expired: expired.len(), ..swept })
    }
}

/// The keys of flows that have been silent for too long. Pure.
fn expired(entries: &[(ConntrackKey, ConntrackValue)], now_ns: u64) -> Vec<ConntrackKey> {
    let by_key: HashMap<&ConntrackKey, &ConntrackValue> = entries.iter().map(|(key, value)| (key, value)).collect();
    entries
        .iter()
        .filter(|(key, value)| {
            let partner = by_key.get(&value.partner(key));
            let last_seen = partner.map_or(0, |partner| partner.last_seen_ns).max(value.last_seen_ns);
            let flags = value.flags | partner.map_or(0, |partner| partner.flags);
            let timeout = ConntrackValue { flags, ..*value }.timeout_ns(key.protocol());
            now_ns.saturating_sub(last_seen) > timeout
        })
        .map(|(key, _)| *key)
        .collect()
}

/// The monotonic clock as the programs read it.
///
/// # Errors
/// When the kernel has no such clock, which does not happen.
pub fn monotonic_ns() -> std::io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proxy_ebpf::{
        address::Address, maps::conntrack::KIND_SERVICE, maps::conntrack::OTHER_TIMEOUT_NS, packet::tuple::Tuple,
        protocol,
    };
    use std::net::Ipv4Addr;

    #[test]
    fn a_flow_lives_while_either_direction_is_seen() {
        let address = |last| Address::from(std::net::IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let value = |rewritten, last_seen_ns| ConntrackValue {
            rewritten,
            flags: 0,
            last_seen_ns,
            packets: 1,
            generation: 1,
            service_id: 1,
        };
        let forward = ConntrackKey::new(Tuple::new(address(1), address(96), 1, 2), protocol::UDP, KIND_SERVICE);
        let there = value(Tuple::new(address(1), address(2), 1, 3), 0);
        let reply = there.partner(&forward);
        let back = value(forward.tuple().reversed(), 50);
        let entries = [(forward, there), (reply, back)];
        assert!(expired(&entries, OTHER_TIMEOUT_NS + 20).is_empty());
        assert_eq!(expired(&entries, OTHER_TIMEOUT_NS + 51).len(), 2);
    }
}
