//! The flow a packet belongs to, while it is worked on. From `transport`; through conntrack; to `rewrite`.

use skep_proxy_ebpf::{
    maps::conntrack::{ConntrackKey, ConntrackValue},
    packet::tuple::Tuple,
    verdict::DropReason,
};

use crate::map_statics::FLOW;

/// What follows the network header, and what becomes of it.
#[repr(C)]
pub(crate) struct Flow {
    /// As the packet arrived.
    pub(crate) tuple: Tuple,
    /// As it leaves.
    pub(crate) rewritten: Tuple,
    /// Room for a key and a value of conntrack.
    pub(crate) key: ConntrackKey,
    pub(crate) value: ConntrackValue,
    /// Room for the start of a packet which an ICMP error is about.
    pub(crate) quoted: [u16; 24],
    /// Offset of the transport header; not to be used in a later fragment.
    pub(crate) offset: u32,
    /// IANA number.
    pub(crate) protocol: u8,
    /// TCP flags, 0 for others.
    pub(crate) flags: u8,
    /// The known flow's packet goes back to the client.
    pub(crate) is_reply: bool,
    /// There is no transport header in this fragment: only addresses can be rewritten.
    pub(crate) is_later_fragment: bool,
}

/// This CPU's place for it.
#[inline(always)]
pub(crate) fn place() -> Result<&'static mut Flow, DropReason> {
    let place = FLOW.get_ptr_mut(0).ok_or(DropReason::RewriteFailed)?;
    // SAFETY: an element of a per-CPU array, used by one program at a time; each program asks for it once.
    Ok(unsafe { &mut *place })
}
