//! Attachments that ended without a DEL. From [`crate::add`] and [`crate::del`], of another attachment; to [`crate::del::undo`].
//!
//! A runtime that is killed while it reads the answer to ADD may know the sandbox and not that it has a network; containerd
//! removes the namespace then, and calls no DEL. With the namespace went the device, which no attachment can do without: its
//! addresses, entries and links serve nobody any more.

use nix::net::if_::if_nametoindex;

use crate::address::Addresses;
use crate::attachment::Attachment;
use crate::del;
use crate::netlink::Netlink;
use crate::pod_map::PodMap;
use crate::response::Failure;
use crate::veth;

/// Removes what is left of every attachment but `own` whose device is gone and that nobody works on.
pub(crate) fn remove(
    own: &Attachment,
    addresses: &Addresses,
    mut pod_map: Option<&mut PodMap>,
    node: &mut Netlink,
) -> Result<(), Failure> {
    let kept = addresses.all()?;
    // Asked name by name: a list of all devices would wait for the lock that every ADD holds while it makes its own.
    let gone = |attachment: &Attachment| attachment != own && if_nametoindex(attachment.device().as_str()).is_err();
    for (attachment, _) in kept.iter().filter(|(attachment, _)| gone(attachment)) {
        // An ADD reserves before it makes the device, and holds the lock until both are there.
        let Some(_lock) = addresses.try_lock(attachment)? else { continue };
        if veth::find(node, &attachment.device())?.is_none() {
            del::undo(attachment, addresses, pod_map.as_deref_mut(), node)?;
        }
    }
    Ok(())
}
