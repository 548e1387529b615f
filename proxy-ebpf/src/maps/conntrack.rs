//! `CONNTRACK`: flows whose packets are rewritten. Written by the packet programs; swept by the agent.
//!
//! Only translated flows have entries: two each, one per direction. An entry says "a packet with this tuple leaves with
//! that tuple", which covers destination NAT, source NAT and both at once.

use crate::packet::tuple::Tuple;

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "CONNTRACK";
/// Most entries, two per flow.
pub const CAPACITY: u32 = 1_048_576;

/// Name of the array whose only element says when a Service was last translated on the packet path.
///
/// In nanoseconds of the monotonic clock, as a `u64`. Older than [`LONGEST_TIMEOUT_NS`]: no such flow exists, and replies need no look-up.
pub const CLOCK_NAME: &str = "CONNTRACK_CLOCK";

/// Translated for a Service at the client's node.
pub const KIND_SERVICE: u8 = 0;
/// Masqueraded at the uplink.
pub const KIND_MASQUERADE: u8 = 1;

/// Lifetime without packets of a TCP flow that is established: what the peers' TCP keep-alive (2 h) outlives.
pub const TCP_TIMEOUT_NS: u64 = 8_000_000_000_000;
/// Lifetime of a TCP flow that has not been answered or is closing.
pub const TCP_HALF_OPEN_TIMEOUT_NS: u64 = 60_000_000_000;
/// Lifetime without packets of anything else.
pub const OTHER_TIMEOUT_NS: u64 = 120_000_000_000;
/// The longest of the above.
pub const LONGEST_TIMEOUT_NS: u64 = TCP_TIMEOUT_NS;

/// How long a flow of `protocol` lives without packets.
#[must_use]
pub const fn timeout_ns(protocol: u8, is_answered: bool, is_closing: bool) -> u64 {
    if protocol != crate::protocol::TCP {
        OTHER_TIMEOUT_NS
    } else if !is_answered || is_closing {
        TCP_HALF_OPEN_TIMEOUT_NS
    } else {
        TCP_TIMEOUT_NS
    }
}

/// Key: the tuple of a packet as it arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConntrackKey {
    tuple: Tuple,
    protocol: u8,
    kind: u8,
    zero: u16,
}
map_type!(ConntrackKey, size = 40);

impl ConntrackKey {
    /// `protocol` by its IANA number, `kind` one of [`KIND_SERVICE`] and [`KIND_MASQUERADE`].
    #[inline(always)]
    #[must_use]
    pub const fn new(tuple: Tuple, protocol: u8, kind: u8) -> Self {
        Self { tuple, protocol, kind, zero: 0 }
    }

    /// The tuple.
    #[must_use]
    pub const fn tuple(&self) -> &Tuple {
        &self.tuple
    }

    /// IANA number of the protocol.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// [`KIND_SERVICE`] or [`KIND_MASQUERADE`].
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }
}

/// Value: the tuple the packet leaves with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConntrackValue {
    /// Source and destination after the rewrite.
    pub rewritten: Tuple,
    /// Bits: [`ConntrackValue::ANSWERED`], [`ConntrackValue::CLOSING`], [`ConntrackValue::REPLY`].
    pub flags: u32,
    /// When the last packet passed, nanoseconds of the monotonic clock.
    pub last_seen_ns: u64,
    /// Packets that passed in this direction; begins anew at 2³².
    pub packets: u32,
    /// Low half of the frontend's generation when the backend was last seen to serve; 0 for masquerade. A datagram of a
    /// flow with another one is led to a backend that serves.
    pub generation: u32,
    /// Identity of the Service port; 0 for masquerade.
    pub service_id: u64,
}
map_type!(ConntrackValue, size = 64);

impl ConntrackValue {
    /// The other direction has been seen.
    pub const ANSWERED: u32 = 1;
    /// A FIN or RST has been seen.
    pub const CLOSING: u32 = 2;
    /// This is the entry of the direction towards the client.
    pub const REPLY: u32 = 4;

    /// The key of the other direction, for an entry under `key`.
    #[must_use]
    pub const fn partner(&self, key: &ConntrackKey) -> ConntrackKey {
        ConntrackKey::new(self.rewritten.reversed(), key.protocol, key.kind)
    }

    /// How long an entry of `protocol` lives without packets.
    #[must_use]
    pub const fn timeout_ns(&self, protocol: u8) -> u64 {
        timeout_ns(protocol, self.flags & Self::ANSWERED != 0, self.flags & Self::CLOSING != 0)
    }
}
