//! `POLICY_RULES`: what network policies allow. Written by the agent, read by `steps::policy`; what is not there is denied.

/// Name of the map, a longest-prefix-match trie; a longer prefix is a narrower rule.
pub const NAME: &str = "POLICY_RULES";
/// Most rules.
pub const CAPACITY: u32 = 524_288;

/// Name of the array whose only element, a `u64`, is another with every change of what policies say; 0 while none is in
/// force on this node.
///
/// It grows while the machine runs (nanoseconds of the monotonic clock), so flows that were judged before a change can be
/// told from others, also after policies were gone for a while.
pub const GENERATION_NAME: &str = "POLICY_GENERATION";

/// The data of the trie's key: whose rules, for whom, and from here on as far as the rule goes: protocol, port.
///
/// A range of ports is the few prefixes it is made of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRuleKey {
    rules: u64,
    identity: u64,
    protocol: u8,
    zero: u8,
    port_be: u16,
    /// Beyond every prefix: the trie wants the value after it aligned.
    zeroes: u32,
}
map_type!(PolicyRuleKey, size = 24);

impl PolicyRuleKey {
    /// Bits of a rule for every protocol.
    pub const ANY_PROTOCOL_BITS: u32 = 128;
    /// Bits of a rule for every port of a protocol.
    pub const ANY_PORT_BITS: u32 = 144;
    /// Bits of a whole key: the prefix length of a look-up.
    pub const ALL_BITS: u32 = 160;

    /// `rules` as in [`super::pod_policy::PodPolicyValue`], `identity` as in [`super::identity`], `protocol` by its IANA
    /// number, `port_be` in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn new(rules: u64, identity: u64, protocol: u8, port_be: u16) -> Self {
        Self { rules, identity, protocol, zero: 0, port_be, zeroes: 0 }
    }

    /// Whose rules.
    #[must_use]
    pub const fn rules(&self) -> u64 {
        self.rules
    }

    /// For whom.
    #[must_use]
    pub const fn identity(&self) -> u64 {
        self.identity
    }

    /// IANA number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Port in host order.
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be(self.port_be)
    }
}

/// Value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PolicyRuleValue {
    /// Identity of the policy's rule: where its hits are counted, see [`super::policy_count`].
    pub rule: u64,
}
map_type!(PolicyRuleValue, size = 8);
