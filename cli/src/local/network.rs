//! The bridge, and a cable from it into every node's namespace. From the plan; to the kernel, by netlink. Idempotent.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::namespace;
use super::plan::{Node, Plan};

/// The device inside a node.
pub(crate) const UPLINK: &str = "eth0";

/// Runs `work` with a netlink connection of the current namespace.
async fn with_netlink<T, F: Future<Output = anyhow::Result<T>>>(work: impl FnOnce(Handle) -> F) -> anyhow::Result<T> {
    let (connection, handle, _) = rtnetlink::new_connection().context("open a netlink socket")?;
    let task = tokio::spawn(connection);
    let done = work(handle).await;
    task.abort();
    done
}

/// Makes the bridge with the host's addresses, and routes that keep the cluster's ranges on it: nothing of the cluster may ever follow the machine's
/// default route.
pub(crate) async fn ensure_bridge(plan: &Plan) -> anyhow::Result<()> {
    let name = plan.bridge();
    with_netlink(async |netlink| {
        let bridge = match index(&netlink, &name).await? {
            Some(bridge) => bridge,
            None => {
                netlink
                    .link()
                    .add(LinkBridge::new(&name).build())
                    .execute()
                    .await
                    .with_context(|| format!("make bridge {name}"))?;
                index(&netlink, &name).await?.with_context(|| format!("bridge {name} vanished"))?
            }
        };
        skip_address_detection(&name)?;
        let (v4, v6) = plan.host_addresses();
        add_address(&netlink, bridge, v4.into(), 24).await?;
        add_address(&netlink, bridge, v6.into(), 64).await?;
        set_up(&netlink, bridge).await?;
        add_route(&netlink, bridge, plan.pods_v4()).await?;
        add_route(&netlink, bridge, plan.pods_v6()).await?;
        add_route(&netlink, bridge, plan.services_v4()).await?;
        add_route(&netlink, bridge, plan.services_v6()).await?;
        Ok(())
    })
    .await
}

/// Makes the node's namespace and plugs it into the bridge.
pub(crate) async fn ensure_node(plan: &Plan, node: &Node) -> anyhow::Result<()> {
    let path = plan.namespace(node);
    namespace::ensure(&path)?;
    let cable = plan.cable(node);
    with_netlink(async |netlink| {
        // The far end is made under a passing name and moved in, where it becomes the uplink. An `up` that was killed may have left each of these undone.
        let passing = format!("{cable:.13}~p");
        if index(&netlink, &cable).await?.is_none() {
            netlink
                .link()
                .add(LinkVeth::new(&cable, &passing).build())
                .execute()
                .await
                .with_context(|| format!("make cable {cable}"))?;
        }
        if let Some(far) = index(&netlink, &passing).await? {
            let inside = fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
            let moved = LinkUnspec::new_with_index(far).name(UPLINK).setns_by_fd(inside.as_raw_fd()).build();
            netlink
                .link()
                .set(moved)
                .execute()
                .await
                .with_context(|| format!("move the cable into {}", path.display()))?;
        }
        let bridge = index(&netlink, &plan.bridge()).await?.context("the bridge is gone")?;
        let near = index(&netlink, &cable).await?.context("the cable vanished")?;
        netlink
            .link()
            .set(LinkUnspec::new_with_index(near).controller(bridge).up().build())
            .execute()
            .await
            .with_context(|| format!("plug {cable}"))
    })
    .await?;
    let (ipv4, ipv6) = (node.ipv4, node.ipv6);
    let inside = plan.clone();
    namespace::run_in(&plan.namespace(node), move || async move {
        with_netlink(async |netlink| {
            skip_address_detection(UPLINK)?;
            for device in ["lo", UPLINK] {
                let device =
                    index(&netlink, device).await?.with_context(|| format!("the namespace has no {device}"))?;
                set_up(&netlink, device).await?;
            }
            let uplink = index(&netlink, UPLINK).await?.context("the uplink vanished")?;
            add_address(&netlink, uplink, ipv4.into(), 24).await?;
            add_address(&netlink, uplink, ipv6.into(), 64).await?;
            // Service addresses need a route before the datapath can translate them; without an uplink there is no default route.
            add_route(&netlink, uplink, inside.services_v4()).await?;
            add_route(&netlink, uplink, inside.services_v6()).await?;
            Ok(())
        })
        .await
    })
    .with_context(|| format!("set up the network of node {}", node.name))
}

/// Removes the bridge; the cables go with the namespaces, or here.
pub(crate) async fn remove(plan: &Plan) -> anyhow::Result<()> {
    with_netlink(async |netlink| {
        for device in plan.nodes().map(|n| plan.cable(&n)).chain([plan.bridge()]) {
            let Some(found) = index(&netlink, &device).await? else { continue };
            // The kernel takes the devices of a removed namespace away when it finds the time: perhaps just now.
            if let Err(error) = netlink.link().del(found).execute().await
                && index(&netlink, &device).await?.is_some()
            {
                return Err(error).with_context(|| format!("remove device {device}"));
            }
        }
        Ok(())
    })
    .await
}

async fn index(netlink: &Handle, name: &str) -> anyhow::Result<Option<u32>> {
    let mut links = std::pin::pin!(netlink.link().get().match_name(name).execute());
    match links.try_next().await {
        Ok(link) => Ok(link.map(|l| l.header.index)),
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
        Err(error) => Err(error).with_context(|| format!("look up device {name}")),
    }
}

async fn set_up(netlink: &Handle, index: u32) -> anyhow::Result<()> {
    netlink.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.context("set a device up")
}

async fn add_address(netlink: &Handle, index: u32, address: IpAddr, length: u8) -> anyhow::Result<()> {
    netlink
        .address()
        .add(index, address, length)
        .replace()
        .execute()
        .await
        .with_context(|| format!("add address {address}/{length}"))
}

/// Sends a range to a device, without a gateway.
async fn add_route(netlink: &Handle, device: u32, (network, length): (impl Into<IpAddr>, u8)) -> anyhow::Result<()> {
    let network = network.into();
    let route = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(network, length)
        .with_context(|| format!("route {network}/{length}"))?
        .output_interface(device)
        .build();
    netlink.route().add(route).replace().execute().await.with_context(|| format!("route {network}/{length}"))
}

/// The plan makes addresses unique: waiting a second for duplicates would only delay the start.
fn skip_address_detection(device: &str) -> anyhow::Result<()> {
    let file = format!("/proc/sys/net/ipv6/conf/{device}/accept_dad");
    match fs::write(&file, "0") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("write {file}"))
        }
        _ => Ok(()),
    }
}
