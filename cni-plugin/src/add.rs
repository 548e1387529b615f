//! ADD: an interface for a pod. From [`crate::request`]; to [`crate::address`], [`crate::veth`] and [`crate::pod_map`].
//!
//! 1. reserve the addresses, on disk · 2. make the pair, down · 3. write the entries in `PODS` · 4. put the programs on
//!    the node's end, pinned · 5. set up the pod's end · 6. set up the node's end: traffic may flow
//!
//! A crash after any of them is undone by [`crate::del::undo`] from the attachment alone: the reservation names the
//! addresses, the attachment names the device, and the entries name its index, under which the links are pinned.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use skep_proxy_ebpf::maps::pod::PodValue;
use skep_proxy_ebpf::overlay::GATEWAY_MAC;

use crate::address::Addresses;
use crate::attachment::Attachment;
use crate::dead;
use crate::del;
use crate::netlink::Netlink;
use crate::pod_map::PodMap;
use crate::request::Request;
use crate::response::{Added, Failure};
use crate::veth::{self, Pair};

/// Why an interface cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    #[error("open the pod's network namespace {}", path.display())]
    Netns { path: PathBuf, source: io::Error },
    #[error("the pod already has an interface {interface}")]
    InterfaceExists { interface: String },
}

/// Answers ADD. What it began is undone when it fails.
pub(crate) fn run(request: &Request) -> Result<Added, Failure> {
    let attachment = request.attachment()?;
    let path = request.netns()?;
    let netns = File::open(path).map_err(|source| AddError::Netns { path: path.clone(), source })?;
    let addresses = Addresses::open(&request.network)?;
    let _lock = addresses.lock(attachment)?;
    // Before anything is made: a node without its programs must not take pods.
    let mut pod_map = PodMap::open(&request.network.pin_dir)?;
    let (mut node, mut pod) = (Netlink::open()?, veth::inside(&netns, Netlink::open)?);
    if veth::find(&mut pod, &attachment.interface)?.is_some() {
        return Err(AddError::InterfaceExists { interface: attachment.interface.clone() }.into());
    }
    // An ADD that was killed, and for which no DEL came.
    del::undo(attachment, &addresses, Some(&mut pod_map), &mut node)?;
    // What cannot be removed now is left to the next one.
    drop(dead::remove(attachment, &addresses, Some(&mut pod_map), &mut node));
    let made = make(request, attachment, &netns, &addresses, &mut pod_map, (&mut node, &mut pod));
    if made.is_err() {
        del::undo(attachment, &addresses, Some(&mut pod_map), &mut node)?;
    }
    made
}

fn make(
    request: &Request,
    attachment: &Attachment,
    netns: &File,
    addresses: &Addresses,
    pod_map: &mut PodMap,
    (node, pod): (&mut Netlink, &mut Netlink),
) -> Result<Added, Failure> {
    let network = &request.network;
    let ips = addresses.reserve(attachment, &network.requested_ips()?, request.pod.as_deref())?;
    let mac = network.requested_mac()?.unwrap_or_else(|| attachment.mac());
    let device = attachment.device();

    let pair = Pair { device: &device, interface: &attachment.interface, mac, mtu: network.mtu };
    veth::create(node, &pair, netns)?;
    let gone = |name: &str| AddError::Netns { path: PathBuf::from(name), source: io::ErrorKind::NotFound.into() };
    let outer = veth::find(node, &device)?.ok_or_else(|| gone(&device))?;
    let inner = veth::find(pod, &attachment.interface)?.ok_or_else(|| gone(&attachment.interface))?;

    let value = PodValue::new(outer.ifindex, mac, GATEWAY_MAC, veth::netns_cookie(pod)?);
    let namespace = request.pod.as_deref().and_then(|pod| pod.split_once('/')).map(|(namespace, _)| namespace);
    let value = match namespace {
        // Nothing of it gets through before its rules are known: a policy holds from the first packet on.
        Some(namespace) if pod_map.has_policies(namespace)? => value.awaiting_policy(),
        _ => value,
    };
    for ip in &ips {
        pod_map.insert(*ip, &value)?;
    }
    pod_map.attach(&device, outer.ifindex)?;

    veth::inside(netns, || veth::pod_settings(&attachment.interface, ips.iter().any(IpAddr::is_ipv6)))?;
    veth::node_settings(&device)?;
    veth::set_up(pod, &inner)?;
    veth::configure_pod(pod, &inner, &ips, network.mtu)?;
    veth::set_up(node, &outer)?;
    veth::configure_node(node, &outer, &ips, mac)?;

    Ok(Added {
        previous: network.prev_result.clone(),
        device,
        device_mac: GATEWAY_MAC,
        interface: attachment.interface.clone(),
        mac,
        netns: request.netns()?.to_string_lossy().into_owned(),
        mtu: network.mtu,
        addresses: ips.into_iter().map(|ip| (ip, veth::gateway_of(ip))).collect(),
    })
}
