//! CHECK: is everything still as ADD left it? From [`crate::request`]; compares the kernel, the pins and the journal
//! with the earlier result. Later plugins of a chain may have added to the pod; only what is ours is compared.

use std::fs::File;
use std::net::IpAddr;

use serde_json::Value;

use crate::add::AddError;
use crate::address::Addresses;
use crate::netlink::Netlink;
use crate::pod_map::PodMap;
use crate::request::{Request, RequestError};
use crate::response::{Failure, mac_text};
use crate::veth;

/// What is not as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("{what} has no reservation")]
    NotReserved { what: String },
    #[error("the reserved addresses {reserved:?} are not those of prevResult, {expected:?}")]
    Addresses { reserved: Vec<IpAddr>, expected: Vec<IpAddr> },
    #[error("device {name} is missing")]
    DeviceMissing { name: String },
    #[error("device {name} is down")]
    DeviceDown { name: String },
    #[error("device {name}: {field} is {found}, not {expected}")]
    Device { name: String, field: &'static str, found: String, expected: String },
    #[error("{interface} lacks address {address}")]
    AddressMissing { interface: String, address: IpAddr },
    #[error("{interface} lacks its default route through {gateway}")]
    RouteMissing { interface: String, gateway: IpAddr },
    #[error("the datapath does not know {address} behind device {ifindex}")]
    EntryMissing { address: IpAddr, ifindex: u32 },
    #[error("device {name} lacks its programs")]
    ProgramsMissing { name: String },
}

/// Answers CHECK.
pub(crate) fn run(request: &Request) -> Result<(), Failure> {
    let attachment = request.attachment()?;
    let interface = &attachment.interface;
    let Some(previous) = &request.network.prev_result else {
        let reason = "is missing: CHECK compares with it".to_owned();
        return Err(RequestError::Field { field: "prevResult", reason }.into());
    };
    let addresses = Addresses::open(&request.network)?;
    let _lock = addresses.lock(attachment)?;
    let reservation = addresses.find(attachment)?;
    let reserved = reservation.ok_or_else(|| CheckError::NotReserved { what: attachment.to_string() })?.ips;
    let expected = ips_of(previous, interface);
    if reserved.iter().any(|ip| !expected.contains(ip)) {
        return Err(CheckError::Addresses { reserved, expected }.into());
    }

    let path = request.netns()?;
    let netns = File::open(path).map_err(|source| AddError::Netns { path: path.clone(), source })?;
    let (mut node, mut pod) = (Netlink::open()?, veth::inside(&netns, Netlink::open)?);
    let outer = device(&mut node, &attachment.device())?;
    let inner = device(&mut pod, interface)?;
    if inner.mtu != request.network.mtu {
        return Err(differs(interface, "mtu", inner.mtu.to_string(), request.network.mtu.to_string()));
    }
    let mac = <[u8; 6]>::try_from(inner.mac.as_slice()).unwrap_or_default();
    if let Some(expected) =
        mac_of(previous, interface).filter(|expected| !expected.eq_ignore_ascii_case(&mac_text(mac)))
    {
        return Err(differs(interface, "hardware address", mac_text(mac), expected.to_owned()));
    }

    let present = veth::addresses(&mut pod, &inner)?;
    let gateways = veth::default_gateways(&mut pod, &inner)?;
    let pod_map = PodMap::open(&request.network.pin_dir)?;
    for ip in reserved {
        if !present.contains(&ip) {
            return Err(CheckError::AddressMissing { interface: interface.clone(), address: ip }.into());
        }
        let gateway = veth::gateway_of(ip);
        if !gateways.contains(&gateway) {
            return Err(CheckError::RouteMissing { interface: interface.clone(), gateway }.into());
        }
        if !pod_map.get(ip)?.is_some_and(|value| value.ifindex() == outer.ifindex && value.pod_mac() == mac) {
            return Err(CheckError::EntryMissing { address: ip, ifindex: outer.ifindex }.into());
        }
    }
    if !pod_map.is_attached(outer.ifindex) {
        return Err(CheckError::ProgramsMissing { name: outer.name }.into());
    }
    Ok(())
}

fn device(netlink: &mut Netlink, name: &str) -> Result<veth::Device, Failure> {
    let found = veth::find(netlink, name)?.ok_or_else(|| CheckError::DeviceMissing { name: name.to_owned() })?;
    if !found.is_up {
        return Err(CheckError::DeviceDown { name: name.to_owned() }.into());
    }
    Ok(found)
}

fn differs(name: &str, field: &'static str, found: String, expected: String) -> Failure {
    CheckError::Device { name: name.to_owned(), field, found, expected }.into()
}

/// Addresses of a result that stand on `interface`, or on none that it names.
fn ips_of(result: &Value, interface: &str) -> Vec<IpAddr> {
    let on_interface = |ip: &&Value| {
        let index = ip["interface"].as_u64().and_then(|index| usize::try_from(index).ok());
        index.is_none_or(|index| result["interfaces"][index]["name"] == interface)
    };
    let ips = result["ips"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter(on_interface);
    ips.filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok()).collect()
}

fn mac_of<'a>(result: &'a Value, interface: &str) -> Option<&'a str> {
    let interfaces = result["interfaces"].as_array()?;
    let inside = |i: &&Value| i["name"] == interface && i["sandbox"].as_str().is_some_and(|s| !s.is_empty());
    interfaces.iter().find(inside)?["mac"].as_str()
}
