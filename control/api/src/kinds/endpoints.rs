//! Endpoints and `EndpointSlice`: defaults and rules; pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::field_rules::{immutable, one_of, texts};
use super::pod_validation::{Errors, integer, items, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::{absent, absent_texts, each};
use crate::strategy::{Part, Strategy};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const IP_WORDS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

#[derive(Debug)]
pub(super) struct Endpoints;

impl Strategy for Endpoints {
    fn defaults(&self, object: &mut Value) {
        each(meta::as_map_mut(object), "subsets", |subset| {
            each(subset, "ports", |port| absent_texts(port, &[("protocol", "TCP")]));
        });
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for (index, subset) in items(object, "subsets").iter().enumerate() {
            let path = Path::new("subsets").index(index);
            let lists = ["addresses", "notReadyAddresses"];
            if lists.iter().all(|list| items(subset, list).is_empty()) {
                errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
            }
            for list in lists {
                for (number, address) in items(subset, list).iter().enumerate() {
                    endpoint_address(address, &path.child(list).index(number), &mut errors);
                }
            }
            let ports = items(subset, "ports");
            for (number, port) in ports.iter().enumerate() {
                endpoint_port(port, ports.len() > 1, &path.child("ports").index(number), &mut errors);
            }
        }
        errors
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn endpoint_address(address: &Value, path: &Path, errors: &mut Errors) {
    let ip = text(address, "ip").unwrap_or_default();
    ip_address(ip, &path.child("ip"), errors);
    if let Some(host) = text(address, "hostname").filter(|host| !host.is_empty()) {
        words(&path.child("hostname"), host, name::dns_label(host, false), errors);
    }
    if let Some(node) = text(address, "nodeName") {
        words(&path.child("nodeName"), node, name::dns_subdomain(node, false), errors);
    }
}

/// An address that may stand for a backend: no unspecified, loopback or link-local ones.
fn ip_address(ip: &str, path: &Path, errors: &mut Errors) {
    let Ok(address) = ip.parse::<IpAddr>() else {
        errors.push(FieldError::invalid_text(path, ip, IP_WORDS));
        return;
    };
    let (link_local, multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments().first().is_some_and(|s| s & 0xffcf == 0xff02)),
    };
    let problem = if address.is_unspecified() {
        format!("may not be unspecified ({ip})")
    } else if address.is_loopback() {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()
    } else if link_local {
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()
    } else if multicast {
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
    } else {
        return;
    };
    errors.push(FieldError::invalid_text(path, ip, problem));
}

fn endpoint_port(port: &Value, named: bool, path: &Path, errors: &mut Errors) {
    let name = text(port, "name").unwrap_or_default();
    if named && name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else if !name.is_empty() {
        words(&path.child("name"), name, name::dns_label(name, false), errors);
    }
    port_number(integer(port, "port").unwrap_or(0), &path.child("port"), errors);
    one_of(port, "protocol", &PROTOCOLS, false, path, errors);
    application_protocol(port, path, errors);
}

fn port_number(number: i64, path: &Path, errors: &mut Errors) {
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid_number(path, number, "must be between 1 and 65535, inclusive"));
    }
}

fn application_protocol(port: &Value, path: &Path, errors: &mut Errors) {
    if let Some(protocol) = text(port, "appProtocol") {
        words(&path.child("appProtocol"), protocol, name::qualified_name(protocol), errors);
    }
}

#[derive(Debug)]
pub(super) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn defaults(&self, object: &mut Value) {
        each(meta::as_map_mut(object), "ports", |port| {
            absent(port, "name", "");
            absent(port, "protocol", "TCP");
        });
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_fields(&self, _part: Part<'_>) -> &'static [&'static str] {
        &["addressType", "endpoints", "ports"]
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let kind = text(object, "addressType").unwrap_or_default();
        if kind.is_empty() {
            errors.push(FieldError::required(&Path::new("addressType"), ""));
        } else {
            one_of(object, "addressType", &["FQDN", "IPv4", "IPv6"], false, &Path::root(), &mut errors);
        }
        slice_endpoints(object, kind, &mut errors);
        slice_ports(object, &mut errors);
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        immutable(&new["addressType"], &old["addressType"], &Path::new("addressType"), &mut errors);
        errors
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn slice_endpoints(object: &Value, kind: &str, errors: &mut Errors) {
    const MOST: usize = 1000;
    const MOST_ADDRESSES: usize = 100;
    let endpoints = items(object, "endpoints");
    let path = Path::new("endpoints");
    if endpoints.len() > MOST {
        errors.push(FieldError::too_many(&path, endpoints.len(), MOST));
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let at = path.index(index);
        let addresses = texts(endpoint, "addresses");
        if addresses.is_empty() {
            errors.push(FieldError::required(&at.child("addresses"), "must contain at least 1 address"));
        } else if addresses.len() > MOST_ADDRESSES {
            errors.push(FieldError::too_many(&at.child("addresses"), addresses.len(), MOST_ADDRESSES));
        }
        for (number, address) in addresses.into_iter().enumerate() {
            let at = at.child("addresses").index(number);
            match kind {
                "FQDN" => words(&at, address, name::dns_subdomain(address, false), errors),
                "IPv4" if address.parse::<std::net::Ipv4Addr>().is_err() => {
                    errors.push(FieldError::invalid_text(&at, address, "must be a valid IPv4 address"));
                }
                "IPv6" if address.parse::<std::net::Ipv6Addr>().is_err() => {
                    errors.push(FieldError::invalid_text(&at, address, "must be a valid IPv6 address"));
                }
                "IPv4" | "IPv6" => ip_address(address, &at, errors),
                _ => {}
            }
        }
        if let Some(node) = text(endpoint, "nodeName") {
            words(&at.child("nodeName"), node, name::dns_subdomain(node, false), errors);
        }
        if let Some(host) = text(endpoint, "hostname") {
            words(&at.child("hostname"), host, name::dns_label(host, false), errors);
        }
    }
}

fn slice_ports(object: &Value, errors: &mut Errors) {
    const MOST: usize = 20_000;
    let ports = items(object, "ports");
    let path = Path::new("ports");
    if ports.len() > MOST {
        errors.push(FieldError::too_many(&path, ports.len(), MOST));
        return;
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = path.index(index);
        let name = text(port, "name").unwrap_or_default();
        if !name.is_empty() {
            words(&at.child("name"), name, name::dns_label(name, false), errors);
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), &Value::from(name)));
        }
        one_of(port, "protocol", &PROTOCOLS, false, &at, errors);
        if let Some(number) = integer(port, "port") {
            port_number(number, &at.child("port"), errors);
        }
        application_protocol(port, &at, errors);
    }
}
