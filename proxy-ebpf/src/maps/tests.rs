use super::{
    backend::{Backend, CHUNK, ChunkValue},
    conntrack::{ConntrackKey, ConntrackValue, KIND_SERVICE},
    node::NodeKey,
    service::{INLINE, ServiceKey, ServiceValue},
};
use crate::{address::Address, packet::tuple::Tuple, protocol};
use core::net::{IpAddr, Ipv4Addr};
use std::vec::Vec;

fn address(last: u8) -> Address {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn backends(n: u8) -> Vec<Backend> {
    (1..=n).map(|i| Backend::new(address(i), 8080, 0)).collect()
}

#[test]
fn names_are_unique() {
    let mut names = super::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), super::NAMES.len());
}

#[test]
fn few_backends_are_inline_and_many_are_not() {
    let key = ServiceKey::new(address(1), 80, protocol::Protocol::Tcp, 0);
    let few = ServiceValue::new(key, 7, 1, &backends(8));
    assert_eq!(few.inline_backends(), backends(8));
    assert_eq!(few.chunks(), 0);
    let many = ServiceValue::new(key, 7, 1, &backends(33));
    assert!(many.inline_backends().is_empty());
    assert_eq!(many.chunks(), 3);
    assert!(many.slots().iter().all(Backend::is_none));
    assert_eq!(INLINE, 8);
}

#[test]
fn a_chunk_keeps_what_fits() {
    let chunk = ChunkValue::new(9, &backends(17));
    assert_eq!(chunk.backends.len(), CHUNK);
    assert_eq!(chunk.backends.last(), Some(&Backend::new(address(16), 8080, 0)));
    assert_eq!((chunk.generation_head(), chunk.generation_tail()), (9, 9));
}

#[test]
fn ports_lie_in_network_order() {
    let key = ServiceKey::new(address(1), 0x1234, protocol::Protocol::Udp, 0);
    assert_eq!(key.port_be().to_ne_bytes(), [0x12, 0x34]);
    assert_eq!(key, ServiceKey::from_wire(address(1), key.port_be(), protocol::UDP, 0));
}

#[test]
fn ranges_count_bits_of_the_mapped_address() {
    let (len, key) = NodeKey::range(IpAddr::from([10, 244, 1, 0]), 24).unwrap();
    assert_eq!((len, key.address()), (120, Ipv4Addr::new(10, 244, 1, 0).into()));
    assert!(NodeKey::range(IpAddr::from([10, 244, 1, 0]), 64).is_none());
}

#[test]
fn partners_point_at_each_other() {
    let tuple = |a, b, p, q| Tuple::new(address(a), address(b), u16::to_be(p), u16::to_be(q));
    let value =
        |rewritten| ConntrackValue { rewritten, flags: 0, last_seen_ns: 0, packets: 0, generation: 0, service_id: 0 };
    let forward =
        (ConntrackKey::new(tuple(1, 96, 40000, 80), protocol::TCP, KIND_SERVICE), value(tuple(1, 2, 40000, 8080)));
    let reply = forward.1.partner(&forward.0);
    assert_eq!(*reply.tuple(), tuple(2, 1, 8080, 40000));
    assert_eq!(value(forward.0.tuple().reversed()).partner(&reply), forward.0);
}

#[test]
fn the_layout_is_as_new_as_its_newest_map() {
    assert_eq!(super::SINCE.into_iter().max(), Some(crate::pins::LAYOUT_VERSION));
}
