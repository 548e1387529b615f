//! Frames built and checked byte by byte, apart from the code under test.

use std::net::{IpAddr, SocketAddr};

/// The Internet checksum as RFC 1071 words it.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 =
        bytes.chunks(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = octets(source);
    bytes.extend(octets(destination));
    bytes.extend([0, protocol]);
    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
    bytes
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

/// A network packet: header and payload.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = if source.is_ipv4() {
        let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        let mut header = vec![0x45, 0, length[0], length[1], 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0];
        header.extend(octets(source));
        header.extend(octets(destination));
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    } else {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut header = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
        header.extend(octets(source));
        header.extend(octets(destination));
        header
    };
    packet.extend_from_slice(payload);
    packet
}

/// An IPv4 fragment of `ip(..)` output: offset in bytes, and whether more follow.
pub(crate) fn fragment(packet: &[u8], offset: usize, more: bool) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let field = u16::try_from(offset / 8).unwrap() | if more { 0x2000 } else { 0 };
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet[10..12].fill(0);
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A TCP segment with flags.
pub(crate) fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = source.port().to_be_bytes().to_vec();
    segment.extend(destination.port().to_be_bytes());
    segment.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    segment.extend_from_slice(data);
    let mut summed = pseudo_header(source.ip(), destination.ip(), 6, segment.len());
    summed.extend_from_slice(&segment);
    let sum = checksum(&summed);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(source.ip(), destination.ip(), 6, &segment)
}

/// A UDP datagram.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut datagram = source.port().to_be_bytes().to_vec();
    datagram.extend(destination.port().to_be_bytes());
    datagram.extend(u16::try_from(8 + data.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend_from_slice(data);
    let mut summed = pseudo_header(source.ip(), destination.ip(), 17, datagram.len());
    summed.extend_from_slice(&datagram);
    let sum = checksum(&summed);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(source.ip(), destination.ip(), 17, &datagram)
}

/// An ICMP error (or echo, by its type) around `about`.
pub(crate) fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8, word: u32, about: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    message.extend_from_slice(about);
    let protocol = if source.is_ipv4() { 1 } else { 58 };
    let mut summed = if source.is_ipv4() { Vec::new() } else { pseudo_header(source, destination, 58, message.len()) };
    summed.extend_from_slice(&message);
    let sum = checksum(&summed);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(source, destination, protocol, &message)
}

/// The frame around a packet, from a pod to its gateway.
pub(crate) fn ethernet(packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0x73, 0x6b, 0x65, 0x70, 1, 2, 0, 0, 0, 1, 10];
    frame.extend(if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend_from_slice(packet);
    frame
}

/// A packet taken apart; every checksum in it has been verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: u8,
    /// The packet behind its network header.
    pub(crate) payload: Vec<u8>,
}

/// Takes a packet apart. Ports are 0 for ICMP. `whole` is false for fragments and for packets quoted in errors, whose
/// transport checksum cannot be verified.
pub(crate) fn parse(packet: &[u8], whole: bool) -> Parsed {
    let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) = if packet[0] >> 4 == 4 {
        assert_eq!(checksum(&packet[..20]), 0, "IPv4 checksum of {packet:x?}");
        let address = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap();
        let end = if whole { usize::from(u16_at(packet, 2)) } else { packet.len() };
        (address(12).into(), address(16).into(), packet[9], &packet[20..end])
    } else {
        let address = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap();
        let end = if whole { 40 + usize::from(u16_at(packet, 4)) } else { packet.len() };
        (address(8).into(), address(24).into(), packet[6], &packet[40..end])
    };
    if whole {
        let mut summed =
            if protocol == 1 { Vec::new() } else { pseudo_header(source, destination, protocol, payload.len()) };
        summed.extend_from_slice(payload);
        assert_eq!(checksum(&summed), 0, "transport checksum of {packet:x?}");
    }
    let (from, to) = if matches!(protocol, 6 | 17) { (u16_at(payload, 0), u16_at(payload, 2)) } else { (0, 0) };
    Parsed {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        protocol,
        payload: payload.to_vec(),
    }
}
