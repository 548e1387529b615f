//! Destination → what the frontend map says about it. From sockets and packets alike; to `backend_select`.

use skep_proxy_ebpf::maps::{
    config,
    service::{ServiceKey, ServiceValue},
};

use crate::map_statics::{CONFIG, SERVICES};

/// Answer of the frontend map.
pub(crate) enum Lookup {
    /// A frontend. The pointer is valid while the program runs; the element may change.
    Value(*mut ServiceValue),
    /// No Service has this address.
    NotAService,
    /// A Service has this address, but no such port.
    NoSuchPort,
    /// The address is in a range of ClusterIPs and belongs to no Service.
    NoSuchService,
}

/// Looks `key` up. One look-up, and a second one only for addresses in a range of ClusterIPs.
#[inline(always)]
pub(crate) fn find(key: &ServiceKey) -> Lookup {
    if let Some(value) = SERVICES.get_ptr_mut(key) {
        return Lookup::Value(value);
    }
    match CONFIG.get(config::INDEX) {
        Some(node) if node.is_service_address(key.address()) => {
            if SERVICES.get_ptr(ServiceKey::address_mark(key.address())).is_some() {
                Lookup::NoSuchPort
            } else {
                Lookup::NoSuchService
            }
        }
        Some(_) | None => Lookup::NotAService,
    }
}

/// Keeps the compiler from moving loads across this line.
#[inline(always)]
pub(crate) fn compiler_barrier() {
    // SAFETY: no instruction at all; that it might touch memory is what the compiler must believe.
    unsafe { core::arch::asm!("") };
}
