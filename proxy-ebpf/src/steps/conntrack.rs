//! Tuple → the tuple it leaves with. From `transport`; to `rewrite`. Only translated flows are known here.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::generated::bpf_ktime_get_coarse_ns,
};
use skep_proxy_ebpf::{
    maps::conntrack::{ConntrackKey, ConntrackValue, KIND_SERVICE, LONGEST_TIMEOUT_NS},
    packet::{tcp, tuple::Tuple},
};

use super::flow::Flow;
use crate::map_statics::{CONNTRACK, CONNTRACK_CLOCK};

/// How old a time stamp may get before it is written again: writing with each packet would move a cache line between CPUs.
const STAMP_NS: u64 = 1_000_000_000;

/// Whether a Service may have been translated on the packet path of this node while such a flow can still live. When not,
/// which is the rule, replies need no look-up.
#[inline(always)]
pub(crate) fn services_are_translated() -> bool {
    let Some(clock) = CONNTRACK_CLOCK.get_ptr(0) else {
        return false;
    };
    // SAFETY: an array element is always there; a torn read is impossible for an aligned word.
    let last = unsafe { clock.read_volatile() };
    last != 0 && now().wrapping_sub(last) < LONGEST_TIMEOUT_NS
}

#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// Writes the time into an element, if what stands there is old.
#[inline(always)]
pub(crate) fn stamp(place: *mut u64, now: u64) {
    // SAFETY: `place` is a word inside a live element.
    unsafe {
        if now.wrapping_sub(place.read_volatile()) > STAMP_NS {
            place.write_volatile(now);
        }
    }
}

#[inline(always)]
fn stamp_clock(now: u64) {
    if let Some(clock) = CONNTRACK_CLOCK.get_ptr_mut(0) {
        stamp(clock, now);
    }
}

/// Whether the flow is known; `rewritten` says how its packet leaves.
#[inline(never)]
pub(crate) fn find(flow: &mut Flow, kind: u8) -> bool {
    flow.key = ConntrackKey::new(flow.tuple, flow.protocol, kind);
    let Some(value) = CONNTRACK.get_ptr_mut(flow.key) else {
        return false;
    };
    let time = now();
    // SAFETY: a live element; fields are words and written one by one. The tuple never changes while a flow lives.
    unsafe {
        (*value).packets = (*value).packets.wrapping_add(1);
        stamp(&raw mut (*value).last_seen_ns, time);
        let mut flags = (*value).flags;
        if flow.flags & (tcp::FIN | tcp::RST) != 0 {
            flags |= ConntrackValue::CLOSING;
        }
        // A new connection on an old tuple.
        if flow.flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
            flags &= !ConntrackValue::CLOSING;
        }
        if flags & ConntrackValue::REPLY != 0 {
            flags |= ConntrackValue::ANSWERED;
        }
        if flags != (*value).flags {
            (*value).flags = flags;
        }
        flow.rewritten = (*value).rewritten;
        flow.is_reply = flags & ConntrackValue::REPLY != 0;
    }
    if kind == KIND_SERVICE {
        stamp_clock(time);
    }
    true
}

/// The tuple with which packets of `flow.key` leave, without touching the flow's state.
#[inline(always)]
pub(crate) fn peek(flow: &Flow) -> Option<Tuple> {
    let value = CONNTRACK.get_ptr(flow.key)?;
    // SAFETY: a live element.
    Some(unsafe { (*value).rewritten })
}

/// Makes way for a new connection that is not translated: its answers would be taken for those of a finished flow whose
/// translated packets looked the same.
#[inline(never)]
pub(crate) fn make_way(flow: &mut Flow) {
    flow.key = ConntrackKey::new(flow.tuple.reversed(), flow.protocol, KIND_SERVICE);
    let Some(answers) = CONNTRACK.get_ptr(flow.key) else {
        return;
    };
    // SAFETY: a live element.
    let (rewritten, mut flags) = unsafe { ((*answers).rewritten, (*answers).flags) };
    let asked = ConntrackKey::new(rewritten.reversed(), flow.protocol, KIND_SERVICE);
    if let Some(asked) = CONNTRACK.get_ptr(asked) {
        // SAFETY: a live element.
        flags |= unsafe { (*asked).flags };
    }
    if flags & ConntrackValue::CLOSING != 0 {
        // Gone already when another CPU or the agent did the same.
        let _gone = CONNTRACK.remove(flow.key);
        let _gone = CONNTRACK.remove(asked);
    }
}

/// What became of a new flow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    Yes,
    /// The tuple towards the client is taken by another flow.
    Taken,
    /// There is no room.
    Full,
}

const EEXIST: i32 = -17;

/// Remembers a flow: packets with `flow.tuple` leave with `flow.rewritten`, and the answers the other way round.
#[inline(never)]
pub(crate) fn open(flow: &mut Flow, kind: u8, service_id: u64) -> Opened {
    let time = now();
    flow.value = ConntrackValue {
        rewritten: flow.tuple.reversed(),
        flags: ConntrackValue::REPLY,
        last_seen_ns: time,
        packets: 0,
        generation: 0,
        service_id,
    };
    flow.key = ConntrackKey::new(flow.rewritten.reversed(), flow.protocol, kind);
    match CONNTRACK.insert(&flow.key, &flow.value, BPF_NOEXIST.into()) {
        Ok(()) => {}
        // The same flow, opened by another CPU or left from before, or another flow?
        Err(EEXIST) if peek(flow) == Some(flow.value.rewritten) => {}
        Err(EEXIST) => return Opened::Taken,
        Err(_) => return Opened::Full,
    }
    flow.value.rewritten = flow.rewritten;
    flow.value.flags = 0;
    flow.value.packets = 1;
    flow.key = ConntrackKey::new(flow.tuple, flow.protocol, kind);
    if CONNTRACK.insert(&flow.key, &flow.value, BPF_ANY.into()).is_err() {
        // The lone entry of the answers expires by itself.
        return Opened::Full;
    }
    if kind == KIND_SERVICE {
        stamp_clock(time);
    }
    Opened::Yes
}
