//! The address in a socket call, read and replaced. From the kernel's context; to the socket programs and back.

use aya_ebpf::programs::SockAddrContext;
use skep_proxy_ebpf::{
    address::Address,
    maps::service::{SCOPE_CLUSTER, ServiceKey},
    protocol,
};

/// Address family of a hook.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Address and port (network byte order) of the call.
#[inline(always)]
pub(crate) fn get(ctx: &SockAddrContext, family: Family) -> (Address, u16) {
    // SAFETY: the kernel hands a valid context to the program; the verifier checks each access.
    let call = unsafe { &*ctx.sock_addr };
    let address = match family {
        Family::V4 => Address::from_ipv4_word(call.user_ip4),
        Family::V6 => {
            let [a, b, c, d] = call.user_ip6;
            Address::from_words([a, b, c, d])
        }
    };
    (address, call.user_port as u16)
}

/// Replaces address and port of the call.
#[inline(always)]
pub(crate) fn set(ctx: &SockAddrContext, family: Family, address: Address, port_be: u16) {
    // SAFETY: as above; these fields are writable in every hook that calls this.
    let call = unsafe { &mut *ctx.sock_addr };
    match family {
        Family::V4 => call.user_ip4 = address.ipv4_word(),
        Family::V6 => {
            let [a, b, c, d] = address.words();
            // One word at a time: the verifier refuses wider and merged stores.
            let words = (&raw mut call.user_ip6).cast::<u32>();
            // SAFETY: four words, all inside the context.
            unsafe {
                words.write_volatile(a);
                words.add(1).write_volatile(b);
                words.add(2).write_volatile(c);
                words.add(3).write_volatile(d);
            }
        }
    }
    call.user_port = port_be.into();
}

/// The frontend a call dials; `None` for protocols that no Service has.
#[inline(always)]
pub(crate) fn frontend(ctx: &SockAddrContext, family: Family) -> Option<ServiceKey> {
    // SAFETY: as above.
    let protocol = unsafe { (*ctx.sock_addr).protocol };
    if protocol != u32::from(protocol::TCP) && protocol != u32::from(protocol::UDP) {
        return None;
    }
    let (address, port_be) = get(ctx, family);
    Some(ServiceKey::from_wire(address, port_be, protocol as u8, SCOPE_CLUSTER))
}
