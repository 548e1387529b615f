//! Network policies: may a packet leave its pod, may it reach its pod? From the packet programs, after Services are
//! translated; to forwarding.
//!
//! A flow is judged at its first packet and remembered: later packets cost one look-up, answers pass whatever the rules of
//! their own direction say. After a change of the rules every flow is judged anew by its next packet, so what is no longer
//! allowed ends at once.

use aya_ebpf::{bindings::BPF_ANY, btf_maps::lpm_trie::Key, programs::TcContext};
use skep_proxy_ebpf::{
    address::Address,
    maps::{
        identity::{ANYBODY, IdentityKey},
        node::Reach,
        pod::{PodKey, PodValue},
        pod_policy::OPEN,
        policy_count::PolicyCountKey,
        policy_flow::{EGRESS, INGRESS, PolicyFlowKey, PolicyFlowValue},
        policy_rule::PolicyRuleKey,
    },
    packet::{tcp, tuple::Tuple},
    verdict::DropReason,
};

use super::{
    connection_count::add_one,
    conntrack, flow,
    flow::Flow,
    forward,
    parse::{Packet, Translation},
    transport::{self, Kind},
};
use crate::map_statics::{IDENTITIES, POD_POLICY, POLICY_COUNT, POLICY_FLOWS, POLICY_GENERATION, POLICY_RULES};

/// Which end of a packet is the pod.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Sender,
    Receiver,
}

/// Whether there is any policy.
#[inline(always)]
pub(crate) fn is_in_force() -> bool {
    POLICY_GENERATION.get(0).is_some_and(|generation| *generation != 0)
}

/// Whether the pod's policies let the packet pass.
#[inline(always)]
pub(crate) fn check(ctx: &TcContext, packet: &Packet, pod: &PodValue, end: End) -> Result<(), DropReason> {
    match POLICY_GENERATION.get(0).copied() {
        Some(0) | None => Ok(()),
        Some(generation) => judge(ctx, packet, pod, end, generation),
    }
}

#[inline(never)]
fn judge(ctx: &TcContext, packet: &Packet, pod: &PodValue, end: End, generation: u64) -> Result<(), DropReason> {
    // Policies speak of pods, not of Services' addresses.
    let (source, destination) = match packet.translation {
        Translation::None => (packet.source, packet.destination),
        Translation::ToBackend => (flow::place()?.rewritten.source, flow::place()?.rewritten.destination),
        Translation::ToClient => (flow::place()?.tuple.source, flow::place()?.tuple.destination),
        Translation::Error => return Ok(()),
    };
    let (own, remote) = match end {
        End::Sender => (source, destination),
        End::Receiver => (destination, source),
    };
    let Some(policy) = POD_POLICY.get_ptr(PodKey::new(own)) else {
        return if pod.awaits_policy() { Err(DropReason::PolicyPending) } else { Ok(()) };
    };
    // SAFETY: a live element; if the agent replaces it now, the next packet sees the new one.
    let policy = unsafe { *policy };
    if policy.ingress == OPEN && policy.egress == OPEN {
        return Ok(());
    }
    let flow = flow::place()?;
    match packet.translation {
        Translation::None => match transport::of(ctx, packet, flow)? {
            Kind::Flow => {}
            // Without them the flow they are about would break.
            Kind::IcmpError => return Ok(()),
            Kind::Other => {
                flow.tuple = Tuple::new(source, destination, 0, 0);
                flow.protocol = packet.next_header;
                flow.flags = 0;
            }
        },
        Translation::ToBackend => flow.tuple = flow.rewritten,
        Translation::ToClient | Translation::Error => {}
    }
    let (rules, asks, answers, denied) = match end {
        End::Sender => (policy.egress, EGRESS, INGRESS, DropReason::PolicyEgress),
        End::Receiver => (policy.ingress, INGRESS, EGRESS, DropReason::PolicyIngress),
    };
    if passes(flow, PolicyFlowKey::new(flow.tuple.reversed(), flow.protocol, answers), PolicyFlowValue::ANSWERED, None)
    {
        return Ok(());
    }
    let key = PolicyFlowKey::new(flow.tuple, flow.protocol, asks);
    if passes(flow, key, 0, Some(generation)) {
        return Ok(());
    }
    // The node itself may always talk with its pods: it probes them.
    if matches!(forward::node(remote).and_then(|range| range.reach()), Some(Reach::Own)) {
        return Ok(());
    }
    if rules != OPEN && !is_allowed(rules, remote, flow) {
        count(rules);
        return Err(denied);
    }
    let value = PolicyFlowValue { last_seen_ns: conntrack::now(), generation, flags: 0 };
    POLICY_FLOWS.insert(key, value, BPF_ANY.into()).map_err(|_| DropReason::ConntrackFull)
}

/// Whether the flow under `key` was allowed, by the rules of `generation` where one is given; notes that it lives.
#[inline(always)]
fn passes(flow: &Flow, key: PolicyFlowKey, seen: u64, generation: Option<u64>) -> bool {
    let Some(known) = POLICY_FLOWS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: a live element, whose fields are words that are read and written one by one.
    unsafe {
        if generation.is_some_and(|generation| (*known).generation != generation) {
            return false;
        }
        conntrack::stamp(&raw mut (*known).last_seen_ns, conntrack::now());
        let mut flags = (*known).flags | seen;
        if flow.flags & (tcp::FIN | tcp::RST) != 0 {
            flags |= PolicyFlowValue::CLOSING;
        }
        if flow.flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
            flags &= !PolicyFlowValue::CLOSING;
        }
        if flags != (*known).flags {
            (*known).flags = flags;
        }
    }
    true
}

/// Asks the rules, first those for the other end's identity, then those for everybody.
#[inline(always)]
fn is_allowed(rules: u64, remote: Address, flow: &Flow) -> bool {
    let identity = match IDENTITIES.get(&Key::new(IdentityKey::ALL_BITS, IdentityKey::new(remote))) {
        Some(identity) => *identity,
        None => ANYBODY,
    };
    (identity != ANYBODY && has_rule(rules, identity, flow)) || has_rule(rules, ANYBODY, flow)
}

#[inline(always)]
fn has_rule(rules: u64, identity: u64, flow: &Flow) -> bool {
    let key = PolicyRuleKey::new(rules, identity, flow.protocol, flow.tuple.destination_port_be);
    let Some(found) = POLICY_RULES.get(&Key::new(PolicyRuleKey::ALL_BITS, key)) else {
        return false;
    };
    count(found.rule);
    true
}

#[inline(always)]
fn count(id: u64) {
    if let Some(count) = POLICY_COUNT.get_ptr_mut(PolicyCountKey { id }) {
        // SAFETY: the field lies inside the element, is aligned, and programs only access it atomically.
        add_one(unsafe { &raw mut (*count).hits });
    }
}
