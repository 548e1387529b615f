//! `POD_POLICY`: address of a pod of this node → the rules it is under. Written by the agent, read by `steps::policy`.

/// Name of the map, a hash without preallocation; its key is [`super::pod::PodKey`].
pub const NAME: &str = "POD_POLICY";
/// Most addresses of pods on one node.
pub const CAPACITY: u32 = super::pod::CAPACITY;

/// The rules of a direction in which everything is allowed.
pub const OPEN: u64 = 0;

/// Value: whose rules hold, by direction as the pod sees it; [`OPEN`] where no policy isolates it.
///
/// Rules are named by a hash of what they say: pods under the same rules share them, and a pod whose rules change moves
/// to other ones in one step.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PodPolicyValue {
    /// For what comes to the pod.
    pub ingress: u64,
    /// For what the pod sends.
    pub egress: u64,
}
map_type!(PodPolicyValue, size = 16);
