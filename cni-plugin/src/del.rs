//! DEL: removes an interface, or what is left of it. From [`crate::request`]; to [`crate::pod_map`], [`crate::veth`]
//! and [`crate::address`].
//!
//! Works from (container id, interface) alone, any number of times, with or without namespace, pins and device.
//! Addresses are given back last: while anything still points at them, nobody else gets them.

use crate::address::Addresses;
use crate::attachment::Attachment;
use crate::dead;
use crate::netlink::Netlink;
use crate::pod_map::PodMap;
use crate::request::Request;
use crate::response::Failure;
use crate::veth;

/// Answers DEL.
pub(crate) fn run(request: &Request) -> Result<(), Failure> {
    let attachment = request.attachment()?;
    let addresses = Addresses::open(&request.network)?;
    let _lock = addresses.lock(attachment)?;
    let mut pod_map = PodMap::open_if_pinned(&request.network.pin_dir)?;
    let mut node = Netlink::open()?;
    undo(attachment, &addresses, pod_map.as_mut(), &mut node)?;
    // What cannot be removed now is left to the next one.
    drop(dead::remove(attachment, &addresses, pod_map.as_mut(), &mut node));
    Ok(())
}

/// Removes everything an ADD makes, in the reverse order, whichever part of it exists.
pub(crate) fn undo(
    attachment: &Attachment,
    addresses: &Addresses,
    pod_map: Option<&mut PodMap>,
    node: &mut Netlink,
) -> Result<(), Failure> {
    let device = attachment.device();
    let reservation = addresses.find(attachment)?;
    if let Some(pod_map) = pod_map {
        // A device that died with the pod's namespace has an index no more; the entries still know it.
        if let Some(device) = veth::find(node, &device)? {
            pod_map.detach(device.ifindex)?;
        }
        for ip in reservation.iter().flat_map(|reservation| &reservation.ips) {
            if let Some(value) = pod_map.get(*ip)? {
                pod_map.detach(value.ifindex())?;
                pod_map.remove(*ip)?;
            }
        }
    }
    veth::remove(node, &device)?;
    if reservation.is_some() {
        addresses.release(attachment)?;
    }
    Ok(())
}
