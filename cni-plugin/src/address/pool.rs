//! Which address comes next: first those never used, then the one that has rested longest. From [`super::journal`]; to
//! [`super::Addresses`]. Pure.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::AddressError;
use super::journal::Journal;

/// Addresses at the start of a range that pods never get: the network's own and the node's.
const RESERVED: u128 = 2;
/// Addresses of one range that are used at all: more than a node has pods, few enough to remember.
const MOST: u128 = 65_536;

/// One address of each range, or exactly `asked`.
pub(super) fn choose(
    journal: &Journal,
    ranges: &[IpNetwork],
    asked: &[IpAddr],
    now: u64,
    quarantine_seconds: u64,
) -> Result<Vec<IpAddr>, AddressError> {
    let holder_of = |ip: &IpAddr| journal.reservations().find(|(_, r)| r.ips.contains(ip)).map(|(a, _)| a.to_string());
    for ip in asked {
        if !ranges.iter().any(|range| usable(range).any(|candidate| candidate == *ip)) {
            let ranges = ranges.iter().map(IpNetwork::to_string).collect::<Vec<_>>().join(", ");
            return Err(AddressError::NotOurs { address: *ip, ranges });
        }
        if let Some(holder) = holder_of(ip) {
            return Err(AddressError::Taken { address: *ip, holder });
        }
    }
    let taken: HashSet<IpAddr> = journal.reservations().flat_map(|(_, r)| r.ips.iter().copied()).collect();
    let rested: Vec<(IpAddr, u64)> = journal.rested().collect();
    let used: HashSet<IpAddr> = rested.iter().map(|(ip, _)| *ip).collect();
    let next_of = |range: &IpNetwork| {
        let fresh = usable(range).find(|ip| !taken.contains(ip) && !used.contains(ip));
        // A clock that was set back must not lock an address away: what became free "later" than now has rested.
        let ready = |at: u64| at > now || now - at >= quarantine_seconds;
        let longest_free =
            || rested.iter().find(|(ip, at)| ready(*at) && range.contains(*ip) && usable_contains(range, *ip));
        fresh.or_else(|| longest_free().map(|(ip, _)| *ip)).ok_or_else(|| AddressError::Exhausted {
            range: *range,
            taken: taken.iter().filter(|ip| range.contains(**ip)).count(),
            resting: used.iter().filter(|ip| range.contains(**ip)).count(),
        })
    };
    // A range of a family that was asked for by address gives no second one.
    let mut ips = asked.to_vec();
    for range in ranges.iter().filter(|range| !asked.iter().any(|ip| ip.is_ipv4() == range.is_ipv4())) {
        ips.push(next_of(range)?);
    }
    Ok(ips)
}

fn usable_contains(range: &IpNetwork, ip: IpAddr) -> bool {
    let offset = number(ip).wrapping_sub(number(range.network()));
    (RESERVED..end(range)).contains(&offset)
}

/// The addresses pods may have, in order.
fn usable(range: &IpNetwork) -> impl Iterator<Item = IpAddr> + use<> {
    let (network, is_ipv4) = (number(range.network()), range.is_ipv4());
    (RESERVED..end(range)).map(move |offset| address(network.wrapping_add(offset), is_ipv4))
}

/// The first offset that is not used. The last address of an IPv4 range is its broadcast address.
fn end(range: &IpNetwork) -> u128 {
    let (bits, broadcast) = if range.is_ipv4() { (32, 1) } else { (128, 0) };
    let host_bits: u32 = bits - u32::from(range.prefix());
    1_u128.checked_shl(host_bits).unwrap_or(u128::MAX).min(MOST).saturating_sub(broadcast)
}

const fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits() as u128,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address(number: u128, is_ipv4: bool) -> IpAddr {
    if is_ipv4 {
        Ipv4Addr::from_bits(u32::try_from(number & u128::from(u32::MAX)).unwrap_or_default()).into()
    } else {
        Ipv6Addr::from_bits(number).into()
    }
}
