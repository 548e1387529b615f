//! Routes to pods of other nodes, through the tunnel. From [`crate::agent`]; to the kernel by rtnetlink.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt as _;
use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope};
use rtnetlink::RouteMessageBuilder;

use super::{Overlay, OverlayError};

/// Marks the routes that are ours (`ip route` shows `proto 115`).
const OUR_ROUTES: RouteProtocol = RouteProtocol::Other(115);

impl Overlay {
    /// Makes the routes through the tunnel exactly `wanted`: range → the node's own address to be used as source.
    ///
    /// # Errors
    /// [`OverlayError`].
    pub async fn sync_routes(
        &self,
        ifindex: u32,
        wanted: &BTreeMap<IpNetwork, Option<IpAddr>>,
        mtu: u32,
    ) -> Result<usize, OverlayError> {
        let actual = self.routes(ifindex).await?;
        let mut changed = 0;
        for (range, source) in wanted {
            let message = route(*range, *source, ifindex, mtu);
            if actual.get(range).is_some_and(|is| same_route(is, &message)) {
                continue;
            }
            let failed = |error| OverlayError::Netlink { action: format!("add route to {range}"), source: error };
            self.handle.route().add(message).replace().execute().await.map_err(failed)?;
            changed += 1;
        }
        for (range, message) in actual.into_iter().filter(|(range, _)| !wanted.contains_key(range)) {
            let failed = |source| OverlayError::Netlink { action: format!("remove route to {range}"), source };
            self.handle.route().del(message).execute().await.map_err(failed)?;
            changed += 1;
        }
        Ok(changed)
    }

    async fn routes(&self, ifindex: u32) -> Result<BTreeMap<IpNetwork, RouteMessage>, OverlayError> {
        let mut ours = BTreeMap::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let failed = |source| OverlayError::Netlink { action: "list routes".to_owned(), source };
            let all: Vec<_> = self.handle.route().get(message).execute().try_collect().await.map_err(failed)?;
            let is_ours = |route: &RouteMessage| {
                route.header.protocol == OUR_ROUTES && route.attributes.contains(&RouteAttribute::Oif(ifindex))
            };
            ours.extend(all.into_iter().filter(is_ours).filter_map(|route| Some((range_of(&route)?, route))));
        }
        Ok(ours)
    }
}

fn route(range: IpNetwork, source: Option<IpAddr>, ifindex: u32, mtu: u32) -> RouteMessage {
    let mut message = match range {
        IpNetwork::V4(range) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range.network(), range.prefix())
            .output_interface(ifindex)
            .build(),
        IpNetwork::V6(range) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(range.network(), range.prefix())
            .output_interface(ifindex)
            .build(),
    };
    message.header.protocol = OUR_ROUTES;
    message.header.scope = if range.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    if let Some(source) = source {
        message.attributes.push(RouteAttribute::PrefSource(RouteAddress::from(source)));
    }
    message
}

fn same_route(is: &RouteMessage, wanted: &RouteMessage) -> bool {
    let relevant = |message: &RouteMessage| {
        let all = message.attributes.iter();
        let kept = all.filter(|a| matches!(a, RouteAttribute::PrefSource(_) | RouteAttribute::Metrics(_)));
        kept.map(|attribute| format!("{attribute:?}")).collect::<std::collections::BTreeSet<_>>()
    };
    relevant(is) == relevant(wanted)
}

fn range_of(route: &RouteMessage) -> Option<IpNetwork> {
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    IpNetwork::new(destination, route.header.destination_prefix_length).ok()
}
