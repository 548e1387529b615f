//! `ServiceCIDR` and `IPAddress`, and what a CIDR is; pure.

use super::*;

const CIDR_WORDS: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Address and prefix length of a CIDR.
fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (length <= most).then_some((address, length))
}

/// The first `length` bits of an address, at the top of a number.
fn network_bits(address: IpAddr, length: u8) -> u128 {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    if length == 0 { 0 } else { bits & (u128::MAX << (128 - u32::from(length))) }
}

/// What is wrong with a CIDR.
pub(in crate::kinds) fn cidr_problem(text: &str) -> Option<&'static str> {
    parse_cidr(text).is_none().then_some(CIDR_WORDS)
}

/// Whether `inner` lies within `outer` and is smaller; both are valid.
pub(super) fn contains_strictly(outer: &str, inner: &str) -> bool {
    let (Some((outer, wide)), Some((inner, narrow))) = (parse_cidr(outer), parse_cidr(inner)) else { return false };
    outer.is_ipv4() == inner.is_ipv4() && narrow > wide && network_bits(outer, wide) == network_bits(inner, wide)
}

#[derive(Debug)]
pub(in crate::kinds) struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn has_status(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("cidrs");
        let ranges = texts(&object["spec"], "cidrs");
        if ranges.is_empty() {
            errors.push(FieldError::required(&path, "at least one CIDR required"));
            return errors;
        }
        if ranges.len() > 2 {
            errors.push(FieldError::invalid(&path, &object["spec"]["cidrs"], "may only hold up to 2 values"));
        }
        for (index, range) in ranges.iter().enumerate() {
            if let Some(problem) = cidr_problem(range) {
                errors.push(FieldError::invalid_text(&path.index(index), range, problem));
            }
        }
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if part == Part::Whole {
            immutable(&new["spec"]["cidrs"], &old["spec"]["cidrs"], &Path::new("spec").child("cidrs"), &mut errors);
        }
        errors
    }
}

#[derive(Debug)]
pub(in crate::kinds) struct IpAddress;

impl Strategy for IpAddress {
    fn validate_name(&self, value: &str, _prefix: bool) -> Vec<String> {
        match value.parse::<IpAddr>() {
            Ok(address) if address.to_string() == value => Vec::new(),
            Ok(_) => vec!["must be a canonical form IP address".to_owned()],
            Err(_) => vec!["must be a valid IP address".to_owned()],
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (parent, path) = (&object["spec"]["parentRef"], Path::new("spec").child("parentRef"));
        if parent.is_null() {
            errors.push(FieldError::required(&path, ""));
            return errors;
        }
        for field in ["resource", "name"] {
            required(parent, field, &path, &mut errors);
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("parentRef");
        immutable(&new["spec"]["parentRef"], &old["spec"]["parentRef"], &path, &mut errors);
        errors
    }
}
