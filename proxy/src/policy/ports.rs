//! Ports of a rule → prefixes of the trie's key. From [`super::compile`]; to [`super::compile::Tables`]. Pure.

use skep_proxy_ebpf::maps::policy_rule::PolicyRuleKey;
use skep_proxy_ebpf::protocol::Protocol;

/// What a rule allows to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Called {
    /// Anything.
    Anything,
    /// Every port of a protocol.
    Protocol(Protocol),
    /// Ports, from and to.
    Ports(Protocol, u16, u16),
}

impl Called {
    /// The keys of one identity's rules, each with its prefix length.
    #[must_use]
    pub fn keys(self, rules: u64, identity: u64) -> Vec<(u32, PolicyRuleKey)> {
        let key = |protocol: u8, port: u16| PolicyRuleKey::new(rules, identity, protocol, port.to_be());
        match self {
            Self::Anything => vec![(PolicyRuleKey::ANY_PROTOCOL_BITS, key(0, 0))],
            Self::Protocol(protocol) => vec![(PolicyRuleKey::ANY_PORT_BITS, key(protocol.number(), 0))],
            Self::Ports(protocol, first, last) => prefixes(first, last)
                .into_iter()
                .map(|(port, bits)| (PolicyRuleKey::ANY_PORT_BITS + bits, key(protocol.number(), port)))
                .collect(),
        }
    }
}

/// The fewest prefixes that are exactly the ports from `first` to `last`: (port, bits).
fn prefixes(first: u16, last: u16) -> Vec<(u16, u32)> {
    let mut prefixes = Vec::new();
    let (mut at, last) = (u32::from(first), u32::from(last));
    while at <= last {
        // The widest block that begins here and does not reach beyond the end.
        let mut width = if at == 0 { 16 } else { at.trailing_zeros().min(16) };
        while at + (1 << width) - 1 > last {
            width -= 1;
        }
        prefixes.push((u16::try_from(at).unwrap_or(u16::MAX), 16 - width));
        at += 1 << width;
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::prefixes;

    #[test]
    fn prefixes_are_exactly_the_range() {
        for (first, last) in
            [(0, 65535), (80, 80), (1, 65535), (30000, 32767), (0, 0), (65535, 65535), (81, 90), (5, 4)]
        {
            let found = prefixes(first, last);
            let holds = |port: u32| {
                found.iter().filter(|(at, bits)| port >> (16 - bits) == u32::from(*at) >> (16 - bits)).count()
            };
            for port in 0..=65535_u32 {
                let wanted = usize::from((u32::from(first)..=u32::from(last)).contains(&port));
                assert_eq!(holds(port), wanted, "{port} of {first}-{last}: {found:?}");
            }
        }
        assert_eq!(prefixes(0, 65535).len(), 1);
        assert_eq!(prefixes(1, 65535).len(), 16);
    }
}
