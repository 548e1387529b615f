//! `BACKEND_COUNT`: connected sockets per backend of a Service.
//!
//! Elements are made and removed by the agent, counted up by the
//! socket programs, read by the agent and the operator's view. Flows on the packet path are in [`super::conntrack`].

use super::backend::Backend;
use crate::address::Address;

/// Name of the map, a hash without preallocation.
pub const NAME: &str = "BACKEND_COUNT";
/// Most backends that are counted.
pub const CAPACITY: u32 = 1_048_576;

/// Key: one backend of one Service port, or the Service port itself ([`BackendCountKey::refusals`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendCountKey {
    service_id: u64,
    address: Address,
    port_be: u16,
    zero: [u8; 6],
}
map_type!(BackendCountKey, size = 32);

impl BackendCountKey {
    /// A backend of the Service port [`super::service::ServiceValue::service_id`]; `port_be` in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn new(service_id: u64, address: Address, port_be: u16) -> Self {
        Self { service_id, address, port_be, zero: [0; 6] }
    }

    /// The same from a map's backend.
    #[must_use]
    pub const fn of(service_id: u64, backend: &Backend) -> Self {
        Self::new(service_id, backend.address(), backend.port_be())
    }

    /// The row of the Service port itself: its `opened` counts connections refused for want of a backend.
    #[inline(always)]
    #[must_use]
    pub const fn refusals(service_id: u64) -> Self {
        Self::new(service_id, Address::UNSPECIFIED, 0)
    }

    /// Identity of the Service port.
    #[must_use]
    pub const fn service_id(&self) -> u64 {
        self.service_id
    }

    /// The backend's address; unspecified in the row of the Service port itself.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The backend's port in host order.
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be(self.port_be)
    }
}

/// Value, counted up atomically and never reset.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BackendCount {
    /// Sockets connected.
    pub opened: u64,
    /// Sockets released, or connected elsewhere.
    pub closed: u64,
}
map_type!(BackendCount, size = 16);

impl BackendCount {
    /// Connections that live now. Counts wrap rather than stop, so a count that was made anew never shows nonsense.
    #[must_use]
    pub const fn live(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}
