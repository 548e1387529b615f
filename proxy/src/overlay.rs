//! The tunnel device and the node's routes to pods elsewhere. From [`crate::agent`]; to the kernel by rtnetlink.
//!
//! Everything is made to be as wanted each time it is called for: what is right is left alone, what is missing or
//! wrong is put right. Pods of this node are reached by routes that the CNI plugin makes; those elsewhere by
//! [`routes`].
#![expect(clippy::wildcard_enum_match_arm, reason = "the kernel's messages have dozens of attributes")]

use std::net::IpAddr;
use std::path::Path;

use futures::TryStreamExt as _;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVxlan};
use skep_proxy_ebpf::overlay::{DEVICE, GATEWAY_MAC, OVERHEAD_IPV4, OVERHEAD_IPV6, UDP_PORT};

mod routes;

/// Why the pod network cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// No socket to the kernel.
    #[error("open a netlink socket")]
    Socket(#[source] std::io::Error),
    /// The kernel refused.
    #[error("{action}")]
    Netlink {
        /// What was tried.
        action: String,
        #[source]
        source: rtnetlink::Error,
    },
    /// A setting could not be changed.
    #[error("write {path}")]
    Setting {
        /// The file.
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// There is no such device.
    #[error("{0}")]
    NoUplink(String),
    /// The uplink's packets are too small for pods to speak IPv6.
    #[error("the uplink {name} has an MTU of {mtu}; pods would have less than 1280")]
    SmallUplink {
        /// Its name.
        name: String,
        /// Its MTU.
        mtu: u32,
    },
}

/// A device of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Largest packet.
    pub mtu: u32,
}

/// The routing tables of this namespace.
#[derive(Clone, Debug)]
pub struct Overlay {
    handle: Handle,
}

impl Overlay {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`OverlayError::Socket`].
    pub fn open() -> Result<Self, OverlayError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(OverlayError::Socket)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The device by its name, or else the one that has `address`.
    ///
    /// # Errors
    /// [`OverlayError::NoUplink`].
    pub async fn uplink(&self, name: Option<&str>, address: IpAddr) -> Result<Link, OverlayError> {
        let (link, wanted) = match name {
            Some(name) => (self.find(name).await?, format!("named {name}")),
            None => (self.holder_of(address).await?, format!("with the node's address {address}")),
        };
        let link = link.ok_or_else(|| OverlayError::NoUplink(format!("there is no device {wanted}; set --uplink")))?;
        Ok(describe(&link))
    }

    async fn holder_of(&self, address: IpAddr) -> Result<Option<LinkMessage>, OverlayError> {
        let failed = |source| OverlayError::Netlink { action: "list addresses".to_owned(), source };
        let all: Vec<_> = self.handle.address().get().execute().try_collect().await.map_err(failed)?;
        let holds = |attribute: &AddressAttribute| *attribute == AddressAttribute::Address(address);
        let Some(found) = all.into_iter().find(|message| message.attributes.iter().any(holds)) else { return Ok(None) };
        let mut links = self.handle.link().get().match_index(found.header.index).execute();
        let failed = |source| OverlayError::Netlink { action: "find the uplink".to_owned(), source };
        links.try_next().await.map_err(failed)
    }

    async fn find(&self, name: &str) -> Result<Option<LinkMessage>, OverlayError> {
        match self.handle.link().get().match_name(name.to_owned()).execute().try_next().await {
            Ok(link) => Ok(link),
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
            Err(source) => Err(OverlayError::Netlink { action: format!("find device {name}"), source }),
        }
    }

    /// Makes the tunnel device, or changes the one that is there; returns its index.
    ///
    /// # Errors
    /// [`OverlayError`].
    pub async fn ensure_device(&self, mtu: u32) -> Result<u32, OverlayError> {
        let failed = |action: &str| {
            let action = format!("{action} device {DEVICE}");
            move |source| OverlayError::Netlink { action, source }
        };
        let mut link = self.find(DEVICE).await?;
        if let Some(wrong) = link.as_ref().filter(|link| !is_our_tunnel(link)) {
            self.handle.link().del(wrong.header.index).execute().await.map_err(failed("replace"))?;
            link = None;
        }
        if link.is_none() {
            let message = LinkMessageBuilder::<LinkVxlan>::new(DEVICE)
                .collect_metadata(true)
                .learning(false)
                .port(UDP_PORT)
                .address(GATEWAY_MAC.to_vec())
                .mtu(mtu)
                .arp(false)
                .build();
            self.handle.link().add(message).execute().await.map_err(failed("create"))?;
            link = self.find(DEVICE).await?;
        }
        let link = link.ok_or_else(|| OverlayError::NoUplink(format!("device {DEVICE} vanished")))?;
        device_settings()?;
        if !is_set_up(&link, mtu) {
            let message = LinkUnspec::new_with_index(link.header.index)
                .address(GATEWAY_MAC.to_vec())
                .mtu(mtu)
                .arp(false)
                .up()
                .build();
            self.handle.link().set(message).execute().await.map_err(failed("set up"))?;
        }
        Ok(link.header.index)
    }
}

/// What pods may send in one packet: the outer headers must fit beside it.
///
/// # Errors
/// [`OverlayError::SmallUplink`].
pub fn pod_mtu(uplink: &Link, tunnel_end: IpAddr) -> Result<u32, OverlayError> {
    let overhead = if tunnel_end.is_ipv4() { OVERHEAD_IPV4 } else { OVERHEAD_IPV6 };
    let mtu = uplink.mtu.saturating_sub(overhead);
    // An uplink may carry more than an IP packet can hold (loopback-like devices); a device may not.
    let mtu = mtu.min(65_535 - OVERHEAD_IPV6);
    if mtu < 1280 {
        return Err(OverlayError::SmallUplink { name: uplink.name.clone(), mtu: uplink.mtu });
    }
    Ok(mtu)
}

/// Lets the node forward packets between pods and the world.
///
/// # Errors
/// [`OverlayError::Setting`].
pub fn node_settings(uplink: &str) -> Result<(), OverlayError> {
    // A host that forwards ignores router advertisements, and would lose a default route it has from one.
    if std::fs::read_to_string(setting("ipv6", uplink, "accept_ra")).is_ok_and(|value| value.trim() == "1") {
        set(&setting("ipv6", uplink, "accept_ra"), "2")?;
    }
    set("/proc/sys/net/ipv4/ip_forward", "1")?;
    set(&setting("ipv6", "all", "forwarding"), "1")?;
    set(&setting("ipv6", "default", "forwarding"), "1")
}

fn device_settings() -> Result<(), OverlayError> {
    set(&setting("ipv4", DEVICE, "rp_filter"), "0")?;
    set(&setting("ipv6", DEVICE, "addr_gen_mode"), "1")?;
    set(&setting("ipv6", DEVICE, "accept_ra"), "0")
}

fn setting(family: &str, device: &str, name: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{device}/{name}")
}

/// Writes what differs. A kernel without IPv6 lacks its settings, and needs none.
fn set(path: &str, value: &str) -> Result<(), OverlayError> {
    if (path.contains("/ipv6/") && !Path::new(path).exists())
        || std::fs::read_to_string(path).is_ok_and(|now| now.trim() == value)
    {
        return Ok(());
    }
    std::fs::write(path, value).map_err(|source| OverlayError::Setting { path: path.to_owned(), source })
}

fn describe(link: &LinkMessage) -> Link {
    let mut described = Link { ifindex: link.header.index, name: String::new(), mtu: 0 };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => described.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => described.mtu = *mtu,
            _ => {}
        }
    }
    described
}

fn is_our_tunnel(link: &LinkMessage) -> bool {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let Some(infos) = infos else { return false };
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(data)) => Some(data),
        _ => None,
    });
    infos.contains(&LinkInfo::Kind(InfoKind::Vxlan))
        && data.is_some_and(|data| {
            data.contains(&InfoVxlan::CollectMetadata(true)) && data.contains(&InfoVxlan::Port(UDP_PORT))
        })
}

fn is_set_up(link: &LinkMessage, mtu: u32) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::Noarp)
        && link.attributes.contains(&LinkAttribute::Mtu(mtu))
        && link.attributes.contains(&LinkAttribute::Address(GATEWAY_MAC.to_vec()))
}
