//! `POLICY_NAMESPACES`: Kubernetes namespaces in which policies are. Written by the agent, read by the CNI plugin: a pod
//! made there is cut off until the agent has said which rules it is under.

/// Name of the map, a hash without preallocation; the value says nothing.
pub const NAME: &str = "POLICY_NAMESPACES";
/// Most namespaces.
pub const CAPACITY: u32 = 16_384;

/// Key: a hash of the namespace's name. Should two names share one, pods of the other wait for the agent too.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyNamespaceKey {
    hash: u64,
}
map_type!(PolicyNamespaceKey, size = 8);

impl PolicyNamespaceKey {
    /// The namespace of that name (FNV-1a, 64 bits).
    #[must_use]
    pub fn new(name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { hash }
    }
}
