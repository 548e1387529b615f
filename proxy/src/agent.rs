//! The loop: changes in, kernel up to date. From [`crate::config`] and [`crate::watch`]; to [`crate::reconcile`],
//! [`crate::overlay`], [`crate::conflist`] and [`crate::names`].
//!
//! It starts by taking over what an earlier agent left in the kernel, and ends without touching it: Services and pods
//! work on while it is away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use kube::Client;
use skep_proxy_ebpf::address::Cidr;
use skep_proxy_ebpf::maps::config::{DEFAULT_SNAT_PORTS, INDEX, MASQUERADE, NodeConfig};
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, MAX_SERVICE_CIDRS};
use crate::conflist;
use crate::datapath::typed_maps::{TypedMaps, sweep};
use crate::datapath::{Datapath, Device, load, netns};
use crate::desired::Place;
use crate::entries;
use crate::health::{self, Health};
use crate::names::{self, Names};
use crate::objects::{ANNOTATION_ALGORITHM, Node};
use crate::overlay::{self, Overlay};
use crate::policy;
use crate::reconcile::{Reconciler, nodes};
use crate::watch::{self, Objects};

/// Changes taken in before the kernel is brought up to date.
const AT_ONCE: usize = 10_000;
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Between two writes of the file of names.
const NAMES_EVERY: Duration = Duration::from_millis(500);

/// Runs until told to stop.
///
/// # Errors When the programs cannot be loaded or attached, or the API server's address and credentials cannot be used
/// at all. Whatever fails later is tried again.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let client = client(&config).await?;
    let health = Arc::new(Health::default());
    let (is_published, policies) = tokio::sync::watch::channel(false);
    let mut agent = Agent::start(config, Arc::clone(&health), policies)?;
    let (address, until) = (agent.config.healthz, stop.clone());
    let server = tokio::spawn(async move {
        // Services work without it: a taken port must not keep the node from serving.
        if let Err(error) = health::serve(health, address, until).await {
            tracing::error!(%address, "health is not served: {error}");
        }
    });
    let policies = tokio::spawn(enforce_policies(&agent.config, client.clone(), is_published, stop.clone()));
    agent.work(&client, &stop).await;
    policies.abort();
    server.abort();
    Ok(())
}

/// Policies in a task of their own: a large cluster's pods must not hold up its Services.
fn enforce_policies(
    config: &Config,
    client: Client,
    is_published: Sender<bool>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let config = policy::agent::Config {
        node_name: config.node_name.clone(),
        pins: config.pins.clone(),
        audit_interval: config.audit_interval,
    };
    async move {
        while let Err(error) = policy::agent::run(&config, &client, &is_published, &stop).await {
            tracing::error!("network policies: {error}; will retry");
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn client(config: &Config) -> anyhow::Result<Client> {
    let mut kube = match &config.kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .with_context(|| format!("use {}", path.display()))?
        }
        None => kube::Config::incluster().context("no --kubeconfig is given, and this is no pod")?,
    };
    // A watch that hears nothing ends by itself in time (the server ends it); a dead connection must not last longer.
    kube.read_timeout = Some(Duration::from_secs(295 + 15));
    kube.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(kube).context("make an API client")
}

struct Agent {
    config: Config,
    datapath: Datapath,
    maps: TypedMaps,
    netns_cookie: u64,
    reconciler: Reconciler,
    overlay: Overlay,
    objects: Objects,
    place: Place,
    health: Arc<Health>,
    /// The programs serve; until then those of another layout version do.
    is_attached: bool,
    /// Whether the maps say what network policies do.
    policies: Receiver<bool>,
    /// Devices that carry our programs.
    attached: Option<(u32, u32)>,
    /// Host-side veths of the pods that were there at the last audit: nobody is attaching programs to them now.
    settled: BTreeSet<u32>,
    /// The nodes' part failed or is due again.
    nodes_due: bool,
    names_due: Option<Instant>,
    retry_at: Option<Instant>,
    /// The last failure that was told: the same one is not told again every second.
    told: String,
}

impl Agent {
    fn start(config: Config, health: Arc<Health>, policies: Receiver<bool>) -> anyhow::Result<Self> {
        let datapath = Datapath::load(&config.pins)?;
        let maps = TypedMaps::open(&config.pins)?;
        let reconciler = Reconciler::restore(&maps)?;
        tracing::info!(frontends = reconciler.frontends(), "took over what the kernel holds");
        let others = config.pins.other_versions().context("look for other versions' pins")?;
        let mut agent = Self {
            place: Place { node: config.node_name.as_str().into(), zone: None, addresses: Vec::new() },
            overlay: Overlay::open()?,
            config,
            datapath,
            maps,
            netns_cookie: netns::own_cookie().context("read the cookie of the network namespace")?,
            reconciler,
            objects: Objects::default(),
            health,
            is_attached: false,
            policies,
            attached: None,
            settled: BTreeSet::new(),
            nodes_due: false,
            names_due: None,
            retry_at: None,
            told: String::new(),
        };
        if others.is_empty() {
            agent.attach()?;
        } else {
            tracing::info!("another layout version serves until the maps of this one are filled");
        }
        Ok(agent)
    }

    /// Puts our programs in the place of those that serve now.
    fn attach(&mut self) -> anyhow::Result<()> {
        self.datapath.attach_cgroup(self.cgroup()?.as_fd())?;
        let pods = self.datapath.update_pods()?;
        load::remove_other_versions(&self.config.pins).context("remove what other versions pinned")?;
        self.is_attached = true;
        tracing::info!(links = pods.updated, "the programs serve");
        Ok(())
    }

    async fn work(&mut self, client: &Client, stop: &CancellationToken) {
        let mut changes = watch::changes(client);
        let mut audit = interval(self.config.audit_interval);
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let retry_at = self.retry_at;
            let names_due = self.names_due;
            tokio::select! {
                () = stop.cancelled() => break,
                change = changes.next() => {
                    let Some(change) = change else { break };
                    self.take(change);
                    // Whatever else has arrived belongs to the same round.
                    for _ in 0..AT_ONCE {
                        let Some(Some(change)) = changes.next().now_or_never() else { break };
                        self.take(change);
                    }
                    self.round().await;
                }
                _ = audit.tick() => self.audit().await,
                () = until(retry_at) => { self.retry_at = None; self.round().await }
                () = until(names_due) => { self.names_due = None; self.write_names() }
                Ok(()) = self.policies.changed(), if !self.is_attached => self.round().await,
            }
        }
        if self.names_due.is_some() {
            self.write_names();
        }
    }

    fn take(&mut self, change: Result<watch::Change, kube::runtime::watcher::Error>) {
        match change {
            Ok(change) => self.objects.apply(change),
            Err(error) => tracing::warn!("watch: {error}; it goes on after a pause"),
        }
    }

    /// Brings the kernel to what is known now.
    async fn round(&mut self) {
        if !self.objects.has_all_services() || !self.objects.has_all_nodes() {
            return;
        }
        self.nodes_due |= self.objects.take_dirty_nodes();
        if self.nodes_due {
            self.health.waiting();
            match self.sync_nodes().await {
                Ok(()) => self.nodes_due = false,
                Err(error) => self.failed("the pod network", &error),
            }
        }
        let dirty = self.objects.take_dirty_services();
        for service in &dirty {
            let tables = self.objects.tables(service, &self.place);
            if let Some(word) = self.objects.service(service).and_then(|service| service.unknown_algorithm.as_ref()) {
                tracing::warn!(%service, "annotation {ANNOTATION_ALGORITHM} names no algorithm: {word:?}; using random");
            }
            self.reconciler.want(service, entries::of_service(&tables));
        }
        if !dirty.is_empty() {
            self.names_due.get_or_insert_with(|| Instant::now() + NAMES_EVERY);
        }
        self.reconciler.set_complete();
        self.sync_services();
        let is_filled = !self.nodes_due && !self.reconciler.is_dirty() && *self.policies.borrow();
        if !self.is_attached && is_filled {
            // The devices follow in the next round.
            match self.attach() {
                Ok(()) => (self.nodes_due, self.retry_at) = (true, Some(Instant::now())),
                Err(error) => self.failed("the programs", &error),
            }
        }
    }

    fn sync_services(&mut self) {
        if self.reconciler.is_dirty() {
            self.health.waiting();
            match tokio::task::block_in_place(|| self.reconciler.round(&self.maps)) {
                Ok(round) => {
                    tracing::debug!(written = round.written, deleted = round.deleted, "services are up to date");
                }
                Err(error) => self.failed("services", &error.into()),
            }
        }
        if self.retry_at.is_none() {
            self.told.clear();
            self.health.updated();
        }
    }

    fn failed(&mut self, what: &str, error: &anyhow::Error) {
        let text = format!("{what}: {error:#}");
        if text != self.told {
            tracing::warn!("{text}; will retry");
            self.told = text;
        }
        self.retry_at = Some(Instant::now() + RETRY);
    }

    /// Ranges, tunnel, routes and, once all of it stands, the CNI configuration.
    async fn sync_nodes(&mut self) -> anyhow::Result<()> {
        let ranges = nodes::wanted(&self.config.node_name, self.objects.nodes(), &self.config.direct);
        nodes::sync(&ranges, &self.maps)?;
        let Some(own) = self.objects.node(&self.config.node_name).cloned() else {
            self.health.set_eligible(false);
            anyhow::bail!("there is no Node named {}", self.config.node_name);
        };
        self.health.set_eligible(true);
        let place = Place { node: Arc::clone(&own.name), zone: own.zone.clone(), addresses: own.addresses.clone() };
        if place != self.place {
            self.place = place;
            self.objects.mark_all();
        }
        let end = nodes::tunnel_end(&own).context("the Node has no InternalIP yet")?;
        let uplink = self.overlay.uplink(self.config.uplink.as_deref(), end).await?;
        let mtu = overlay::pod_mtu(&uplink, end)?;
        overlay::node_settings(&uplink.name)?;
        let tunnel = self.overlay.ensure_device(mtu).await?;
        self.maps.config.put(&INDEX, &self.node_config(&own, tunnel, uplink.ifindex))?;
        if self.is_attached && self.attached != Some((tunnel, uplink.ifindex)) {
            self.datapath.attach_device(Device::Overlay, tunnel)?;
            self.datapath.attach_device(Device::Uplink, uplink.ifindex)?;
            self.attached = Some((tunnel, uplink.ifindex));
        }
        self.overlay.sync_routes(tunnel, &routes(&own, self.objects.nodes()), mtu).await?;
        anyhow::ensure!(!own.pod_cidrs.is_empty(), "the Node has no spec.podCIDRs yet: pods cannot have addresses");
        let content = conflist::content(&self.config.cni, &self.config.pins, &own.pod_cidrs, mtu);
        if conflist::publish(&self.config.cni, &content)? {
            tracing::info!(mtu, pod_cidrs = ?own.pod_cidrs, "the node is ready for pods");
        }
        Ok(())
    }

    fn node_config(&self, own: &Node, tunnel: u32, uplink: u32) -> NodeConfig {
        let of_family = |is_ipv4: bool| own.addresses.iter().find(|ip| ip.is_ipv4() == is_ipv4);
        let address = |is_ipv4| of_family(is_ipv4).map(|ip| (*ip).into()).unwrap_or_default();
        let named = self.objects.service_ranges();
        let ranges = self.config.service_cidrs.iter().chain(&named);
        let mut service_cidrs = [Cidr::NONE; MAX_SERVICE_CIDRS];
        // Of ranges beyond those that fit, undefined ports are not refused at once; everything else works.
        for (slot, range) in service_cidrs.iter_mut().zip(ranges) {
            *slot = Cidr::new(range.network(), range.prefix()).unwrap_or(Cidr::NONE);
        }
        NodeConfig {
            flags: MASQUERADE,
            overlay_ifindex: tunnel,
            uplink_ifindex: uplink,
            vni: skep_proxy_ebpf::overlay::VNI,
            snat_port_min: DEFAULT_SNAT_PORTS.0,
            snat_port_max: DEFAULT_SNAT_PORTS.1,
            zero: 0,
            ipv4: address(true),
            ipv6: address(false),
            service_cidrs,
            host_netns_cookie: self.netns_cookie,
        }
    }

    /// Compares what should be with what is, and cleans up.
    async fn audit(&mut self) {
        if !self.objects.has_all_services() || !self.objects.has_all_nodes() {
            return;
        }
        match tokio::task::block_in_place(|| self.reconciler.audit(&self.maps)) {
            Ok(differing) if differing.is_empty() => {}
            Ok(differing) => {
                tracing::warn!(frontends = differing.len(), "somebody else changed the maps; putting it right")
            }
            Err(error) => self.failed("audit", &error.into()),
        }
        match tokio::task::block_in_place(|| self.put_back_programs()) {
            Ok(0) => {}
            Ok(programs) => tracing::warn!(programs, "somebody else took programs off; they are back"),
            Err(error) => self.failed("the programs", &error),
        }
        // Devices and routes are looked after as well: whoever removed one gets it back.
        self.nodes_due = true;
        self.round().await;
        let cleaned = tokio::task::block_in_place(|| {
            self.reconciler.prune(&self.maps)?;
            self.maps.sweep_conntrack(sweep::monotonic_ns()?)?;
            anyhow::Ok(())
        });
        if let Err(error) = cleaned {
            self.failed("clean-up", &error);
        }
    }

    /// Looks after the programs that are attached; returns how many were not.
    fn put_back_programs(&mut self) -> anyhow::Result<usize> {
        let Some((tunnel, uplink)) = self.attached.filter(|_| self.is_attached) else { return Ok(0) };
        let now: BTreeSet<u32> = self.maps.pods.dump()?.into_iter().map(|(_, pod)| pod.ifindex()).collect();
        let settled = std::mem::replace(&mut self.settled, now.clone());
        let exists = |ifindex: &u32| nix::net::if_::if_indextoname(*ifindex).is_ok();
        let pods = settled.intersection(&now).copied().filter(exists).collect();
        let mut devices = vec![(Device::Overlay, tunnel), (Device::Uplink, uplink)];
        devices.retain(|(_, ifindex)| exists(ifindex));
        Ok(self.datapath.put_back(self.cgroup()?.as_fd(), &devices, &pods)?)
    }

    fn cgroup(&self) -> anyhow::Result<File> {
        let path = &self.config.cgroup;
        File::open(path).with_context(|| format!("open the cgroup {}", path.display()))
    }

    fn write_names(&mut self) {
        let path = names::path(&self.config.view_dir, &self.config.pins);
        let names = Names::of(&self.objects, &self.config.node_name);
        if let Err(error) = tokio::task::block_in_place(|| names.write(&path)) {
            self.names_due = Some(Instant::now() + RETRY);
            self.failed(&format!("write {}", path.display()), &error.into());
        }
    }
}

/// Waits for a moment, or for ever.
pub(crate) async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The pod ranges of the other nodes, each with the own address of that family as source.
fn routes<'a, I: Iterator<Item = &'a Node>>(own: &Node, all: I) -> BTreeMap<ipnetwork::IpNetwork, Option<IpAddr>> {
    let others = all.filter(|node| node.name != own.name && !node.addresses.is_empty());
    let ranges = others.flat_map(|node| node.pod_cidrs.iter().copied());
    ranges.map(|range| (range, own.addresses.iter().find(|ip| ip.is_ipv4() == range.is_ipv4()).copied())).collect()
}
