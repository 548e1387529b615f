//! `AFFINITY`: client → the backend it got, for Services with session affinity. Written by the programs that choose a
//! backend; swept by the agent.
//!
//! A client of the socket path is a pod (its network namespace), one of the packet path an address. All frontends of a
//! Service port share an entry, as in kube-proxy: who dialled the node port gets the same backend by the ClusterIP.

use crate::address::Address;

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "AFFINITY";
/// Most clients; beyond that new ones are served without affinity.
pub const CAPACITY: u32 = 524_288;

/// First word of the client where it is a network namespace: as an address it would be multicast, which no client has.
const NETNS: u32 = u32::MAX;

/// Key: a client and a Service port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffinityKey {
    service_id: u64,
    client: Address,
}
map_type!(AffinityKey, size = 24);

impl AffinityKey {
    /// A client by its address.
    #[inline(always)]
    #[must_use]
    pub const fn of_address(service_id: u64, client: Address) -> Self {
        Self { service_id, client }
    }

    /// A client by the cookie of its network namespace.
    #[inline(always)]
    #[must_use]
    pub const fn of_netns(service_id: u64, cookie: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = cookie.to_ne_bytes();
        let (low, high) = (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]));
        Self { service_id, client: Address::from_words([NETNS, 0, low, high]) }
    }

    /// Identity of the Service port.
    #[must_use]
    pub const fn service_id(&self) -> u64 {
        self.service_id
    }

    /// The client's address; `None` for a network namespace.
    #[must_use]
    pub const fn client(&self) -> Option<Address> {
        let [first, ..] = self.client.words();
        if first == NETNS { None } else { Some(self.client) }
    }
}

/// Value: the backend, and when it was last given out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AffinityValue {
    /// Address of the backend.
    pub backend: Address,
    /// Its port, network byte order.
    pub port_be: u16,
    /// Always 0.
    pub zero: u16,
    /// Seconds of affinity, as the frontend said then: for the sweep.
    pub seconds: u32,
    /// Nanoseconds of the monotonic clock.
    pub last_used_ns: u64,
}
map_type!(AffinityValue, size = 32);

impl AffinityValue {
    /// Whether the client's time is over.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.last_used_ns) > (self.seconds as u64).saturating_mul(1_000_000_000)
    }
}
