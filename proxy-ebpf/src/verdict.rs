//! What may happen to a packet or a connect, and why something was dropped or refused. From every step; to `finish` in the
//! programs, and to metrics and views in user space. Pure.

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On to the kernel's own stack.
    Pass,
    /// Into the network namespace of the pod behind this host-side veth.
    ToPod {
        /// Index of the host-side veth.
        ifindex: u32,
    },
    /// Out by this device.
    ToDevice {
        /// Its index.
        ifindex: u32,
    },
}

/// Why a packet was dropped or a call refused; also the label of the metric. The numbers are part of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum DropReason {
    /// Headers are cut short or contradict themselves.
    Malformed = 0,
    /// A pod sent from an address which is not its own.
    Spoofed = 1,
    /// The Service has no backend: the client gets a refusal.
    NoBackend = 2,
    /// The Service has no backend where its policy wants one, and the policy says to be silent.
    NoLocalBackend = 3,
    /// The ClusterIP has no such port: the client gets a refusal.
    NoSuchPort = 4,
    /// An address of a Service range that belongs to no Service.
    NoSuchService = 5,
    /// An address of this node's pod range that belongs to no pod.
    NoSuchPod = 6,
    /// The node has no overlay device, or it has no address of the family.
    NoOverlay = 7,
    /// `CONNTRACK` is full, or the kernel had no memory for an entry.
    ConntrackFull = 8,
    /// No port was free for masquerading to that destination.
    NoPortFree = 9,
    /// A later fragment came without the first one.
    FragmentUnknown = 10,
    /// A Service was used with a protocol, or a packet, that cannot be translated.
    Untranslatable = 11,
    /// A packet could not be changed: the kernel had no memory.
    RewriteFailed = 12,
    /// The element was replaced again and again while it was read.
    ServiceChanging = 13,
    /// The tunnel key could not be set.
    TunnelFailed = 14,
    /// The node itself sent something into the overlay which is for no other node: multicast, a stale route.
    NotForOverlay = 15,
    /// The Service names ranges of clients, and the client is in none.
    OutsideSourceRanges = 16,
    /// No network policy of the sending pod allows it.
    PolicyEgress = 17,
    /// No network policy of the receiving pod allows it.
    PolicyIngress = 18,
    /// The pod is young, and what its network policies say is not known yet.
    PolicyPending = 19,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 20] = [
        Self::Malformed,
        Self::Spoofed,
        Self::NoBackend,
        Self::NoLocalBackend,
        Self::NoSuchPort,
        Self::NoSuchService,
        Self::NoSuchPod,
        Self::NoOverlay,
        Self::ConntrackFull,
        Self::NoPortFree,
        Self::FragmentUnknown,
        Self::Untranslatable,
        Self::RewriteFailed,
        Self::ServiceChanging,
        Self::TunnelFailed,
        Self::NotForOverlay,
        Self::OutsideSourceRanges,
        Self::PolicyEgress,
        Self::PolicyIngress,
        Self::PolicyPending,
    ];

    /// Index in `DROP_COUNT`.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Spoofed => "spoofed",
            Self::NoBackend => "no_backend",
            Self::NoLocalBackend => "no_local_backend",
            Self::NoSuchPort => "no_such_port",
            Self::NoSuchService => "no_such_service",
            Self::NoSuchPod => "no_such_pod",
            Self::NoOverlay => "no_overlay",
            Self::ConntrackFull => "conntrack_full",
            Self::NoPortFree => "no_port_free",
            Self::FragmentUnknown => "fragment_unknown",
            Self::Untranslatable => "untranslatable",
            Self::RewriteFailed => "rewrite_failed",
            Self::ServiceChanging => "service_changing",
            Self::TunnelFailed => "tunnel_failed",
            Self::NotForOverlay => "not_for_overlay",
            Self::OutsideSourceRanges => "outside_source_ranges",
            Self::PolicyEgress => "policy_egress",
            Self::PolicyIngress => "policy_ingress",
            Self::PolicyPending => "policy_pending",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Malformed => "a client sends broken packets; capture them on its veth",
            Self::Spoofed => {
                "a pod uses an address it was not given; look for manual addresses or nested networks in it"
            }
            Self::NoBackend => "no endpoint is ready: look at the pods of the Service and their readiness",
            Self::NoLocalBackend => "the traffic policy is Local and this node has no ready endpoint",
            Self::NoSuchPort => "the client dials a port which the Service does not define",
            Self::NoSuchService => "the client dials a ClusterIP which belongs to no Service, perhaps a deleted one",
            Self::NoSuchPod => "the client dials a pod which is gone",
            Self::NoOverlay => "the overlay device is missing: look at the agent's log",
            Self::ConntrackFull => "too many translated flows; the agent's sweep may be behind",
            Self::NoPortFree => {
                "too many connections from this node to one destination; widen the masquerade port range"
            }
            Self::FragmentUnknown => "fragments arrive out of order or incomplete; look at the MTU on the path",
            Self::Untranslatable => "the Service is used with a protocol it cannot have",
            Self::RewriteFailed => "the node is short of memory",
            Self::ServiceChanging => "the Service changes faster than it can be read",
            Self::NotForOverlay => {
                "harmless in small numbers (multicast); else a route leads into the overlay by mistake"
            }
            Self::OutsideSourceRanges => "the client's address is in none of loadBalancerSourceRanges of the Service",
            Self::PolicyEgress => "a NetworkPolicy selects the sending pod for egress, and no rule allows this",
            Self::PolicyIngress => "a NetworkPolicy selects the receiving pod for ingress, and no rule allows this",
            Self::PolicyPending => "the agent has not told the pod's policies yet: look whether it runs",
            Self::TunnelFailed => "the overlay device is not in external mode; let the agent make it anew",
        }
    }
}

/// What the connect and sendmsg hooks decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketVerdict {
    /// The call goes on, translated or not.
    Allow,
    /// The call fails with `ECONNREFUSED`, and is counted.
    Refuse(DropReason),
    /// The call fails with `EHOSTUNREACH`, and is counted.
    Unreachable(DropReason),
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn reasons_are_numbered_in_order_and_have_distinct_labels() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index() as usize, index);
            assert_eq!(DropReason::ALL.iter().filter(|other| other.label() == reason.label()).count(), 1);
            assert!(!reason.remedy().is_empty());
        }
    }
}
