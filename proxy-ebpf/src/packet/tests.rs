use super::{arp, checksum, icmp, ipv4, neighbour, tcp, tuple::Tuple};
use crate::{address::Address, protocol};
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use std::vec::Vec;

/// The checksum as the RFC words it, over bytes.
fn oracle(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

fn bytes_of_tcp(h: &tcp::Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(h.source_port_be.to_ne_bytes());
    bytes.extend(h.destination_port_be.to_ne_bytes());
    bytes.extend(h.sequence_be.to_ne_bytes());
    bytes.extend(h.acknowledgement_be.to_ne_bytes());
    bytes.extend([h.data_offset, h.flags]);
    bytes.extend(h.window_be.to_ne_bytes());
    bytes.extend(h.checksum.to_ne_bytes());
    bytes.extend(h.urgent_be.to_ne_bytes());
    bytes
}

fn pseudo(source: Address, destination: Address, protocol: u8, len: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for address in [source, destination] {
        bytes.extend_from_slice(&address.octets()[if address.is_ipv4() { 12 } else { 0 }..]);
    }
    bytes.extend([0, protocol]);
    bytes.extend(len.to_be_bytes());
    bytes
}

#[test]
fn a_known_ipv4_header_has_its_checksum() {
    // The example of Wikipedia's article on the IPv4 header checksum: 0xb861.
    let header = ipv4::Header {
        version_length: 0x45,
        total_length_be: 0x73_u16.to_be(),
        fragment_be: 0x4000_u16.to_be(),
        time_to_live: 0x40,
        protocol: 0x11,
        source_be: 0xc0a8_0001_u32.to_be(),
        destination_be: 0xc0a8_00c7_u32.to_be(),
        ..ipv4::Header::default()
    };
    assert_eq!(u16::from_be(header.with_checksum().checksum), 0xb861);
    assert_eq!(header.length(), Some(20));
    assert!(!header.is_fragment());
}

#[test]
fn fragments_are_recognised() {
    let header = |fragment: u16| ipv4::Header { fragment_be: fragment.to_be(), ..ipv4::Header::default() };
    assert!(header(0x2000).is_fragment() && !header(0x2000).is_later_fragment());
    assert!(header(0x00b9).is_fragment() && header(0x00b9).is_later_fragment());
    assert!(!header(0x4000).is_fragment());
}

#[test]
fn a_syn_is_refused_with_its_sequence_acknowledged() {
    let syn = tcp::Header { sequence_be: u32::MAX.to_be(), flags: tcp::SYN, ..tcp::Header::default() };
    let (a, b) = (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 96, 0, 1).into());
    let refusal = syn.refusal(a, b, 0).unwrap();
    assert_eq!(refusal.flags, tcp::RST | tcp::ACK);
    assert_eq!(refusal.acknowledgement_be, 0);
    assert!(tcp::Header { flags: tcp::RST, ..syn }.refusal(a, b, 0).is_none());
}

#[test]
fn arp_answers_swap_the_sides() {
    let request = arp::Packet {
        hardware_be: 1_u16.to_be(),
        protocol_be: 0x0800_u16.to_be(),
        hardware_length: 6,
        protocol_length: 4,
        operation_be: arp::REQUEST_BE,
        sender_mac: [1; 6],
        sender: [10, 0, 0, 1],
        target_mac: [0; 6],
        target: [169, 254, 1, 1],
    };
    let answer = request.answer([2; 6]);
    assert!(request.is_request() && !answer.is_request());
    assert_eq!((answer.sender_mac, answer.sender), ([2; 6], [169, 254, 1, 1]));
    assert_eq!((answer.target_mac, answer.target), ([1; 6], [10, 0, 0, 1]));
}

#[test]
fn an_advertisement_sums_up() {
    let (target, asker) = (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4).into());
    let m = neighbour::Message::advertisement(target, asker, [2, 3, 4, 5, 6, 7]);
    let mut bytes = pseudo(target, asker, protocol::ICMPV6, 32);
    bytes.extend([m.kind, m.code]);
    bytes.extend(m.checksum.to_ne_bytes());
    bytes.extend(m.flags_be.to_ne_bytes());
    bytes.extend(target.octets());
    bytes.extend([2, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(oracle(&bytes), 0);
}

#[test]
fn icmp_messages_have_their_class() {
    let kind = |kind, v6| icmp::Header { kind, ..icmp::Header::default() }.class(v6);
    assert_eq!(kind(8, false), icmp::Kind::Echo);
    assert_eq!(kind(3, false), icmp::Kind::Error);
    assert_eq!(kind(2, true), icmp::Kind::Error);
    assert_eq!(kind(135, true), icmp::Kind::Other);
    assert_eq!(kind(129, true), icmp::Kind::Echo);
}

proptest! {
    #[test]
    fn updates_agree_with_sums_over_everything(mut words in prop::collection::vec(any::<u16>(), 2..40), new: u32) {
        let bytes = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
        // Never all zero, as no header is: then 0 and 0xffff are one sum.
        words.push(1);
        let before = oracle(&bytes(&words));
        let old = u32::from(words[0]) << 16 | u32::from(words[1]);
        words[0] = (new >> 16) as u16;
        words[1] = (new & 0xffff) as u16;
        let difference = checksum::difference(checksum::words(old.to_be()), checksum::words(new.to_be()));
        let updated = checksum::update(before.to_be(), difference);
        prop_assert_eq!(u16::from_be(updated), oracle(&bytes(&words)));
    }

    #[test]
    fn refusals_sum_up(seq: u32, ack: u32, flags in 0_u8..=0x3f, source: [u8; 16], destination: [u8; 16], v4: bool, payload in 0_u32..1400) {
        let address = |o: [u8; 16]| if v4 { Ipv4Addr::new(o[0], o[1], o[2], o[3]).into() } else { Address::from_octets(o) };
        let (source, destination) = (address(source), address(destination));
        prop_assume!(v4 || (!source.is_ipv4() && !destination.is_ipv4()));
        let segment = tcp::Header { source_port_be: 0x1234, destination_port_be: 0x5678, sequence_be: seq, acknowledgement_be: ack,
            data_offset: 0x50, flags, ..tcp::Header::default() };
        let Some(refusal) = segment.refusal(source, destination, payload) else {
            prop_assert!(flags & tcp::RST != 0);
            return Ok(());
        };
        let mut bytes = pseudo(destination, source, protocol::TCP, 20);
        bytes.extend(bytes_of_tcp(&refusal));
        prop_assert_eq!(oracle(&bytes), 0);
        prop_assert_eq!(refusal.source_port_be, 0x5678);
    }

    #[test]
    fn reversing_twice_is_nothing(source: [u8; 16], destination: [u8; 16], a: u16, b: u16) {
        let tuple = Tuple::new(Address::from_octets(source), Address::from_octets(destination), a, b);
        prop_assert_eq!(tuple.reversed().reversed(), tuple);
        prop_assert_eq!(tuple.hash(), Tuple::new(Address::from_octets(source), Address::from_octets(destination), a, b).hash());
    }
}
