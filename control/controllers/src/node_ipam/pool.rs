//! A range cut into equal parts, of which some are in use. From [`super`]; to it. Pure.

use crate::config::Cidr;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Parts of one range.
#[derive(Debug)]
pub struct Pool {
    range: Cidr,
    mask: u8,
    used: BTreeSet<u64>,
    /// Where the search for a free part begins: parts are used again as late as possible.
    next: u64,
}

impl Pool {
    /// Cuts `range` into parts with prefixes of `mask` bits.
    pub fn new(range: Cidr, mask: u8) -> Self {
        Self { range, mask, used: BTreeSet::new(), next: 0 }
    }

    /// Number of parts, at most 2⁶³.
    fn size(&self) -> u64 {
        1_u64.checked_shl(u32::from(self.mask.saturating_sub(self.range.prefix).min(63))).unwrap_or(u64::MAX)
    }

    /// Takes a free part into use.
    pub fn give(&mut self) -> Option<Cidr> {
        let size = self.size();
        if u64::try_from(self.used.len()).is_ok_and(|used| used >= size) {
            return None;
        }
        let mut number = self.next % size;
        while self.used.contains(&number) {
            number = (number + 1) % size;
        }
        self.used.insert(number);
        self.next = (number + 1) % size;
        Some(self.part(number))
    }

    /// Marks the part that a node has already.
    pub fn occupy(&mut self, part: &Cidr) {
        if let Some(number) = self.number(part) {
            self.used.insert(number);
        }
    }

    /// Frees a part.
    pub fn release(&mut self, part: &Cidr) {
        if let Some(number) = self.number(part) {
            self.used.remove(&number);
        }
    }

    fn part(&self, number: u64) -> Cidr {
        let shift = u32::from(self.range.bits() - self.mask);
        let offset = u128::from(number).checked_shl(shift).unwrap_or(0);
        let address = match self.range.address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() | u32::try_from(offset).unwrap_or(0)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() | offset).into()),
        };
        Cidr { address, prefix: self.mask }
    }

    fn number(&self, part: &Cidr) -> Option<u64> {
        let shift = u32::from(self.range.bits() - self.mask);
        let offset = match (self.range.address, part.address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => u128::from(address.to_bits().checked_sub(base.to_bits())?),
            (IpAddr::V6(base), IpAddr::V6(address)) => address.to_bits().checked_sub(base.to_bits())?,
            (IpAddr::V4(_) | IpAddr::V6(_), _) => return None,
        };
        let number = u64::try_from(offset.checked_shr(shift).unwrap_or(0)).ok()?;
        (number < self.size()).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_given_once_and_again_after_release() {
        let mut pool = Pool::new("10.244.0.0/22".parse().unwrap(), 24);
        pool.occupy(&"10.244.1.0/24".parse().unwrap());
        pool.occupy(&"10.9.0.0/24".parse().unwrap());
        let given: Vec<String> = std::iter::from_fn(|| pool.give()).map(|part| part.to_string()).collect();
        assert_eq!(given, ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24"]);
        pool.release(&"10.244.2.0/24".parse().unwrap());
        assert_eq!(pool.give().map(|part| part.to_string()).as_deref(), Some("10.244.2.0/24"));
        let mut six = Pool::new("fd00:10:244::/56".parse().unwrap(), 64);
        assert_eq!(six.give().map(|part| part.to_string()).as_deref(), Some("fd00:10:244::/64"));
        assert_eq!(six.give().map(|part| part.to_string()).as_deref(), Some("fd00:10:244:1::/64"));
    }
}
