//! Connections per backend. From sockets and packets; to the agent and the operator's view.

use skep_proxy_ebpf::{address::Address, maps::backend_count::BackendCountKey};

use crate::map_statics::BACKEND_COUNT;

/// A connection to a backend has begun.
#[inline(always)]
pub(crate) fn opened(service_id: u64, address: Address, port_be: u16) {
    if let Some(count) = BACKEND_COUNT.get_ptr_mut(BackendCountKey::new(service_id, address, port_be)) {
        // SAFETY: the field lies inside the element, is aligned, and programs only access it atomically.
        add_one(unsafe { &raw mut (*count).opened });
    }
}

/// A connection to a backend has ended.
#[inline(always)]
pub(crate) fn closed(service_id: u64, address: Address, port_be: u16) {
    if let Some(count) = BACKEND_COUNT.get_ptr_mut(BackendCountKey::new(service_id, address, port_be)) {
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*count).closed });
    }
}

/// The connection to a backend has ended, and a new one to the same backend has begun.
#[inline(always)]
pub(crate) fn opened_again(service_id: u64, address: Address, port_be: u16) {
    if let Some(count) = BACKEND_COUNT.get_ptr_mut(BackendCountKey::new(service_id, address, port_be)) {
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*count).closed });
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*count).opened });
    }
}

/// A connection was refused for want of a backend.
#[inline(always)]
pub(crate) fn refused(service_id: u64) {
    opened(service_id, Address::UNSPECIFIED, 0);
}

#[inline(always)]
pub(crate) fn add_one(counter: *mut u64) {
    // The target has no compare-and-swap, so `core::sync::atomic` offers no addition, though the machine has one.
    // SAFETY: `counter` is a field of a live map element, see the callers.
    unsafe {
        core::arch::asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1_u64)
    };
}
