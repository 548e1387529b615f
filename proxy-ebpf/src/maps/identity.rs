//! `IDENTITIES`: address range → what network policies see in it.
//!
//! Written by the agent, read by `steps::policy`. Addresses that every policy of this node treats alike share an
//! identity, so a rule is one element whatever the number of pods it names. An identity is a hash of what it stands for:
//! it means the same after a restart, and never comes to mean something else.

/// Name of the map, a longest-prefix-match trie. Its key's prefix length counts bits of the mapped address.
pub const NAME: &str = "IDENTITIES";
/// Most ranges.
pub const CAPACITY: u32 = 524_288;

/// The identity of an address that no policy names. Under it stand the rules for everybody.
pub const ANYBODY: u64 = 0;

/// The data of the trie's key: a range of addresses, as in [`super::node`].
pub type IdentityKey = super::node::NodeKey;
