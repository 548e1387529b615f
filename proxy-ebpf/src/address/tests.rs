use super::*;
use proptest::prelude::*;
use std::string::ToString as _;

#[test]
fn ipv4_is_mapped_and_comes_back() {
    let ip: IpAddr = "10.96.0.1".parse().unwrap();
    let address = Address::from(ip);
    assert_eq!(address.octets(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 96, 0, 1]);
    assert!(address.is_ipv4());
    assert_eq!(address.to_string(), "10.96.0.1");
}

#[test]
fn special_addresses() {
    let parse = |s: &str| Address::from(s.parse::<IpAddr>().unwrap());
    assert!(parse("fe80::1").is_link_local_ipv6());
    assert!(!parse("fd00::1").is_link_local_ipv6());
    assert!(parse("224.0.0.1").is_multicast());
    assert!(parse("255.255.255.255").is_multicast());
    assert!(parse("ff02::1").is_multicast());
    assert!(!parse("10.0.0.255").is_multicast());
}

#[test]
fn a_range_without_bits_holds_nothing() {
    assert!(!Cidr::NONE.contains(Address::UNSPECIFIED));
    assert!(Cidr::new("10.0.0.0".parse().unwrap(), 33).is_none());
}

proptest! {
    #[test]
    fn octets_round_trip(octets: [u8; 16]) {
        prop_assert_eq!(Address::from_octets(octets).octets(), octets);
    }

    #[test]
    fn ranges_agree_with_arithmetic(network: u32, len in 0_u8..=32, address: u32) {
        let cidr = Cidr::new(Ipv4Addr::from(network).into(), len).unwrap();
        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
        prop_assert_eq!(cidr.contains(Ipv4Addr::from(address).into()), network & mask == address & mask);
    }
}
