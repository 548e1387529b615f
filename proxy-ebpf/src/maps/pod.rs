//! `PODS`: pod address → where it is on this node. Written by the CNI plugin, read by `pod_egress`, `overlay_ingress` and
//! `uplink_ingress`.

use crate::address::Address;

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "PODS";
/// Most addresses of pods on one node.
pub const CAPACITY: u32 = 16_384;

/// Key: one address of a pod.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    address: Address,
}
map_type!(PodKey, size = 16);

impl PodKey {
    /// The pod with this address.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self { address }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }
}

/// Value: the pod's end and the node's end of its veth pair.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodValue {
    ifindex: u32,
    flags: u32,
    netns_cookie: u64,
    pod_mac: [u8; 6],
    host_mac: [u8; 6],
    zero: u32,
}
map_type!(PodValue, size = 32);

impl PodValue {
    const AWAITS_POLICY: u32 = 1;

    /// `ifindex` is that of the host-side veth, in the namespace of the node; `netns_cookie` that of the pod's network
    /// namespace, 0 when not known.
    #[must_use]
    pub const fn new(ifindex: u32, pod_mac: [u8; 6], host_mac: [u8; 6], netns_cookie: u64) -> Self {
        Self { ifindex, flags: 0, netns_cookie, pod_mac, host_mac, zero: 0 }
    }

    /// Index of the host-side veth.
    #[inline(always)]
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The same, cut off until [`super::pod_policy`] says which rules it is under.
    #[must_use]
    pub const fn awaiting_policy(mut self) -> Self {
        self.flags |= Self::AWAITS_POLICY;
        self
    }

    /// Whether it is cut off until [`super::pod_policy`] has it.
    #[inline(always)]
    #[must_use]
    pub const fn awaits_policy(&self) -> bool {
        self.flags & Self::AWAITS_POLICY != 0
    }

    /// Cookie of the pod's network namespace; 0 when not known.
    #[must_use]
    pub const fn netns_cookie(&self) -> u64 {
        self.netns_cookie
    }

    /// MAC address of the pod's interface.
    #[must_use]
    pub const fn pod_mac(&self) -> [u8; 6] {
        self.pod_mac
    }

    /// MAC address of the host-side veth, normally [`crate::overlay::GATEWAY_MAC`].
    #[must_use]
    pub const fn host_mac(&self) -> [u8; 6] {
        self.host_mac
    }
}
