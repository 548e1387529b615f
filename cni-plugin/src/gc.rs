//! GC: removes whatever belongs to no attachment the runtime names. From [`crate::request`]; to [`crate::del`], for
//! reservations, and further to devices, entries and links that have none.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use crate::address::Addresses;
use crate::attachment::Attachment;
use crate::del;
use crate::netlink::Netlink;
use crate::pod_map::PodMap;
use crate::request::{Request, RequestError};
use crate::response::Failure;
use crate::veth;

/// Answers GC: goes on after a failure, and reports the first.
pub(crate) fn run(request: &Request) -> Result<(), Failure> {
    // Without a list, "nothing is valid" and "the runtime does not say" look alike: the second must remove nothing.
    let Some(valid) = &request.network.valid_attachments else {
        let reason = "is missing: nothing may be removed".to_owned();
        return Err(RequestError::Field { field: "cni.dev/valid-attachments", reason }.into());
    };
    let valid: BTreeSet<Attachment> =
        valid.iter().map(|v| Attachment { container: v.container.clone(), interface: v.interface.clone() }).collect();
    let addresses = Addresses::open(&request.network)?;
    let _lock = addresses.lock_all()?;
    let mut pod_map = PodMap::open_if_pinned(&request.network.pin_dir)?;
    let mut node = Netlink::open()?;
    let mut first = Ok(());
    for (attachment, _) in addresses.all()?.iter().filter(|(attachment, _)| !valid.contains(attachment)) {
        let undone = del::undo(attachment, &addresses, pod_map.as_mut(), &mut node);
        first = first.and(undone);
    }
    let orphans = remove_orphans(&valid, &addresses, pod_map.as_mut(), &mut node);
    first.and(orphans)
}

/// What no reservation leads to: a state directory was lost, or the machine lost power before it was written.
fn remove_orphans(
    valid: &BTreeSet<Attachment>,
    addresses: &Addresses,
    pod_map: Option<&mut PodMap>,
    node: &mut Netlink,
) -> Result<(), Failure> {
    let kept = addresses.all()?;
    let devices: HashSet<String> = valid.iter().chain(kept.iter().map(|(a, _)| a)).map(Attachment::device).collect();
    let mut first: Result<(), Failure> = Ok(());
    let existing = veth::all(node)?;
    for device in existing.iter().filter(|d| Attachment::is_device(&d.name) && !devices.contains(&d.name)) {
        let removed = veth::remove(node, &device.name).map_err(Failure::from);
        first = first.and(removed);
    }
    let Some(pod_map) = pod_map else { return first };
    let ips: HashSet<IpAddr> = kept.iter().flat_map(|(_, reservation)| reservation.ips.iter().copied()).collect();
    for ip in pod_map.addresses()?.into_iter().filter(|ip| !ips.contains(ip)) {
        let removed = pod_map.remove(ip).map_err(Failure::from);
        first = first.and(removed);
    }
    let alive: HashSet<u32> = existing.iter().filter(|d| devices.contains(&d.name)).map(|d| d.ifindex).collect();
    for ifindex in pod_map.attached()?.into_iter().filter(|ifindex| !alive.contains(ifindex)) {
        let detached = pod_map.detach(ifindex).map_err(Failure::from);
        first = first.and(detached);
    }
    first
}
