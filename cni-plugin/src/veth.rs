//! The pair of devices between node and pod, and what stands on both. From [`crate::add`], [`crate::del`] and
//! [`crate::check`]; to the kernel by [`crate::netlink`].
//!
//! The pod's end is made inside the pod's namespace by the same request that makes the node's end: there is no moment
//! in which it stands in the node's namespace under the pod's name. The pod reaches everything through a gateway that
//! no interface has: permanent neighbour entries answer for it on both ends, so nobody ever asks by ARP.
#![expect(
    unsafe_code,
    reason = "the cookie of a network namespace is read by getsockopt, for which nix has no wrapper"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's messages have dozens of attributes, of which few matter here"
)]

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use skep_proxy_ebpf::overlay::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};

use crate::netlink::{Mode, Netlink, NetlinkError};

/// A device as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) mac: Vec<u8>,
    pub(crate) mtu: u32,
    pub(crate) is_up: bool,
}

/// What is made.
pub(crate) struct Pair<'a> {
    /// Name of the node's end.
    pub(crate) device: &'a str,
    /// Name of the pod's end.
    pub(crate) interface: &'a str,
    /// Hardware address of the pod's end.
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u32,
}

/// The gateway of the family of `address`.
pub(crate) const fn gateway_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(GATEWAY_IPV4),
        IpAddr::V6(_) => IpAddr::V6(GATEWAY_IPV6),
    }
}

/// Runs `work` in another network namespace, on this thread.
pub(crate) fn inside<T>(netns: &File, work: impl FnOnce() -> Result<T, NetlinkError>) -> Result<T, NetlinkError> {
    let failed = |action: &str, source: io::Error| NetlinkError::Namespace { action: action.to_owned(), source };
    let home = File::open("/proc/thread-self/ns/net").map_err(|e| failed("open the own network namespace", e))?;
    setns(netns, CloneFlags::CLONE_NEWNET).map_err(|e| failed("enter the pod's network namespace", e.into()))?;
    let result = work();
    setns(&home, CloneFlags::CLONE_NEWNET).map_err(|e| failed("return to the own network namespace", e.into()))?;
    result
}

/// The cookie by which programs name the namespace of this socket.
pub(crate) fn netns_cookie(netlink: &Netlink) -> Result<u64, NetlinkError> {
    /// `asm-generic/socket.h`, since Linux 5.14.
    const SO_NETNS_COOKIE: nix::libc::c_int = 71;
    let mut cookie = 0_u64;
    let mut len = nix::libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: both pointers are to live locals, and `len` is the size of what the first points to.
    let result = unsafe {
        nix::libc::getsockopt(
            netlink.socket().as_raw_fd(),
            nix::libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    Errno::result(result).map_err(|source| NetlinkError::Socket { action: "read the namespace's cookie", source })?;
    Ok(cookie)
}

/// The device of that name, if there is one.
pub(crate) fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Device>, NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let answer = netlink.request(Mode::Get, RouteNetlinkMessage::GetLink(message), || format!("find device {name}"));
    match answer {
        Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(None),
        other => Ok(other?.into_iter().find_map(device_of)),
    }
}

/// Every device of the socket's namespace.
pub(crate) fn all(netlink: &mut Netlink) -> Result<Vec<Device>, NetlinkError> {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answer = netlink.request(Mode::Dump, message, || "list devices".to_owned())?;
    Ok(answer.into_iter().filter_map(device_of).collect())
}

fn device_of(message: RouteNetlinkMessage) -> Option<Device> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let mut device = Device {
        ifindex: link.header.index,
        name: String::new(),
        mac: Vec::new(),
        mtu: 0,
        is_up: link.header.flags.contains(LinkFlags::Up),
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::Address(mac) => device.mac = mac,
            LinkAttribute::Mtu(mtu) => device.mtu = mtu,
            _ => {}
        }
    }
    Some(device)
}

/// Makes both ends, down.
pub(crate) fn create(node: &mut Netlink, pair: &Pair<'_>, netns: &File) -> Result<(), NetlinkError> {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(pair.interface.to_owned()),
        LinkAttribute::Mtu(pair.mtu),
        LinkAttribute::Address(pair.mac.to_vec()),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(pair.device.to_owned()),
        LinkAttribute::Mtu(pair.mtu),
        LinkAttribute::Address(GATEWAY_MAC.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let action = || format!("create the devices {} and {}", pair.device, pair.interface);
    node.request(Mode::Create, RouteNetlinkMessage::NewLink(message), action).map(drop)
}

/// Removes the node's end, and with it the pod's, and every route and neighbour on both. Fine when it is not there.
pub(crate) fn remove(node: &mut Netlink, name: &str) -> Result<(), NetlinkError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    match node.request(Mode::Plain, RouteNetlinkMessage::DelLink(message), || format!("remove device {name}")) {
        Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(()),
        other => other.map(drop),
    }
}

/// Brings a device up.
pub(crate) fn set_up(netlink: &mut Netlink, device: &Device) -> Result<(), NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = device.ifindex;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    let action = || format!("bring up device {}", device.name);
    netlink.request(Mode::Plain, RouteNetlinkMessage::SetLink(message), action).map(drop)
}

/// What the pod sees: its addresses, and a default route per family through the gateway.
pub(crate) fn configure_pod(
    pod: &mut Netlink,
    device: &Device,
    addresses: &[IpAddr],
    mtu: u32,
) -> Result<(), NetlinkError> {
    for address in addresses {
        let gateway = gateway_of(*address);
        add_address(pod, device, *address)?;
        add_neighbour(pod, device, gateway, &GATEWAY_MAC)?;
        // An IPv6 gateway is link-local, which every interface reaches; the IPv4 one needs a route of its own.
        if gateway.is_ipv4() {
            add_route(pod, device, Some(gateway), None, None)?;
        }
        add_route(pod, device, None, Some(gateway), Some(mtu))?;
    }
    Ok(())
}

/// What the node's own processes need to reach the pod.
pub(crate) fn configure_node(
    node: &mut Netlink,
    device: &Device,
    addresses: &[IpAddr],
    pod_mac: [u8; 6],
) -> Result<(), NetlinkError> {
    for address in addresses {
        add_neighbour(node, device, *address, &pod_mac)?;
        add_route(node, device, Some(*address), None, None)?;
    }
    Ok(())
}

fn family_of(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

const fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn add_address(netlink: &mut Netlink, device: &Device, address: IpAddr) -> Result<(), NetlinkError> {
    let mut message = AddressMessage::default();
    message.header.family = family_of(address);
    message.header.prefix_len = bits_of(address);
    message.header.index = device.ifindex;
    message.header.scope = AddressScope::Universe;
    // Duplicate address detection would keep an IPv6 address from being used for a second; nobody else can have it.
    if address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    let action = || format!("add address {address} to {}", device.name);
    netlink.request(Mode::Replace, RouteNetlinkMessage::NewAddress(message), action).map(drop)
}

fn add_neighbour(netlink: &mut Netlink, device: &Device, address: IpAddr, mac: &[u8]) -> Result<(), NetlinkError> {
    let mut message = NeighbourMessage::default();
    message.header.family = family_of(address);
    message.header.ifindex = device.ifindex;
    message.header.state = NeighbourState::Permanent;
    message.header.kind = RouteType::Unicast;
    let destination = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    let action = || format!("add neighbour {address} on {}", device.name);
    netlink.request(Mode::Replace, RouteNetlinkMessage::NewNeighbour(message), action).map(drop)
}

/// A route to one address, or to everything through a gateway.
fn add_route(
    netlink: &mut Netlink,
    device: &Device,
    destination: Option<IpAddr>,
    gateway: Option<IpAddr>,
    mtu: Option<u32>,
) -> Result<(), NetlinkError> {
    let Some(any) = destination.or(gateway) else { return Ok(()) };
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(any);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.attributes.push(RouteAttribute::Oif(device.ifindex));
    if let Some(destination) = destination {
        message.header.destination_prefix_length = bits_of(destination);
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(destination)));
    }
    if let Some(gateway) = gateway {
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
    }
    if let Some(mtu) = mtu {
        message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    let action = || match destination {
        Some(destination) => format!("add route to {destination} by {}", device.name),
        None => format!("add default route through {any} by {}", device.name),
    };
    netlink.request(Mode::Replace, RouteNetlinkMessage::NewRoute(message), action).map(drop)
}

/// The addresses a device has.
pub(crate) fn addresses(netlink: &mut Netlink, device: &Device) -> Result<Vec<IpAddr>, NetlinkError> {
    let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answer = netlink.request(Mode::Dump, message, || format!("list addresses of {}", device.name))?;
    let of_device = answer.into_iter().filter_map(|object| match object {
        RouteNetlinkMessage::NewAddress(address) if address.header.index == device.ifindex => Some(address),
        _ => None,
    });
    Ok(of_device
        .flat_map(|address| address.attributes)
        .filter_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        })
        .collect())
}

/// The gateways of default routes by a device.
pub(crate) fn default_gateways(netlink: &mut Netlink, device: &Device) -> Result<Vec<IpAddr>, NetlinkError> {
    let mut gateways = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let message = RouteNetlinkMessage::GetRoute(message);
        for object in netlink.request(Mode::Dump, message, || format!("list routes by {}", device.name))? {
            let RouteNetlinkMessage::NewRoute(route) = object else { continue };
            let by_device = route.attributes.contains(&RouteAttribute::Oif(device.ifindex));
            if !by_device || route.header.destination_prefix_length != 0 {
                continue;
            }
            gateways.extend(route.attributes.into_iter().filter_map(|attribute| match attribute {
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(IpAddr::V4(gateway)),
                RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => Some(IpAddr::V6(gateway)),
                _ => None,
            }));
        }
    }
    Ok(gateways)
}

/// Settings of the node's end: it forwards, and has no addresses of its own.
pub(crate) fn node_settings(device: &str) -> Result<(), NetlinkError> {
    set("ipv4", device, "forwarding", "1")?;
    set("ipv6", device, "forwarding", "1")?;
    set("ipv6", device, "addr_gen_mode", "1")?;
    set("ipv6", device, "accept_ra", "0")
}

/// Settings of the pod's end, in the pod's namespace: its link-local address is usable at once.
pub(crate) fn pod_settings(interface: &str, has_ipv6: bool) -> Result<(), NetlinkError> {
    if has_ipv6 {
        set("ipv6", interface, "disable_ipv6", "0")?;
    }
    set("ipv6", interface, "accept_dad", "0")?;
    set("ipv6", interface, "accept_ra", "0")
}

/// A kernel without IPv6 lacks its settings, and needs none.
fn set(family: &str, device: &str, name: &str, value: &str) -> Result<(), NetlinkError> {
    let path = Path::new("/proc/sys/net").join(family).join("conf").join(device).join(name);
    match fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && family == "ipv6" => Ok(()),
        other => {
            other.map_err(|source| NetlinkError::Namespace { action: format!("write {}", path.display()), source })
        }
    }
}
