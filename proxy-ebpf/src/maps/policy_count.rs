//! `POLICY_COUNT`: how often a rule allowed a new flow, and how often a pod's policy denied a packet. Counted up by the
//! programs; the agent makes and deletes elements; read by the operator's view.

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "POLICY_COUNT";
/// Most rules and denials.
pub const CAPACITY: u32 = 131_072;

/// Key: a rule ([`super::policy_rule::PolicyRuleValue::rule`]), or the rules that denied
/// ([`super::pod_policy::PodPolicyValue`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyCountKey {
    /// Identity.
    pub id: u64,
}
map_type!(PolicyCountKey, size = 8);

/// Value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PolicyCount {
    /// New flows that were allowed, or packets that were denied.
    pub hits: u64,
}
map_type!(PolicyCount, size = 8);
