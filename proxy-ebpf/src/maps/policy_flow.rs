//! `POLICY_FLOWS`: flows of isolated pods which were allowed: their answers pass, and their next packets need no rules.
//! Written by the packet programs, swept by the agent.

use super::conntrack::{self, ConntrackKey};

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "POLICY_FLOWS";
/// Most flows.
pub const CAPACITY: u32 = 1_048_576;

/// The pod is the one that was called.
pub const INGRESS: u8 = 0;
/// The pod is the one that calls.
pub const EGRESS: u8 = 1;

/// Key: the tuple of a packet from the caller; its kind is [`INGRESS`] or [`EGRESS`], which end's policy allowed it.
pub type PolicyFlowKey = ConntrackKey;

/// Value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PolicyFlowValue {
    /// When a packet of either direction last passed, nanoseconds of the monotonic clock.
    pub last_seen_ns: u64,
    /// [`super::policy_rule::GENERATION_NAME`] when the rules last allowed it: after a change they are asked anew.
    pub generation: u64,
    /// Bits: [`PolicyFlowValue::ANSWERED`], [`PolicyFlowValue::CLOSING`].
    pub flags: u64,
}
map_type!(PolicyFlowValue, size = 24);

impl PolicyFlowValue {
    /// The other end has answered.
    pub const ANSWERED: u64 = 1;
    /// A FIN or RST has been seen.
    pub const CLOSING: u64 = 2;

    /// How long a flow of `protocol` lives without packets.
    #[must_use]
    pub const fn timeout_ns(&self, protocol: u8) -> u64 {
        conntrack::timeout_ns(protocol, self.flags & Self::ANSWERED != 0, self.flags & Self::CLOSING != 0)
    }
}
