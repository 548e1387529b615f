//! The loop of network policies: watches in, kernel up to date. Beside [`crate::agent`], so that neither waits for the
//! other; ends without touching the kernel: policies hold on while it is away.

use std::time::Duration;

use futures::FutureExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use kube::Client;
use kube::runtime::watcher;
use skep_proxy_ebpf::pins::PinDirectory;
use tokio::sync::watch::Sender;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Cluster, Namespace, Pod, Policy, Publisher, tables};
use crate::agent::until;
use crate::datapath::typed_maps::{MapError, TypedMaps, sweep};
use crate::watch::{Kind, Step, stream};

/// Changes taken in before the tables are made anew.
const AT_ONCE: usize = 10_000;
/// Between a change and the tables, so that a burst of pods costs one compilation.
const SETTLE: Duration = Duration::from_millis(20);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

enum Change {
    Policy(Step<Policy>),
    Pod(Step<Pod>),
    Namespace(Step<Namespace>),
}

/// What the loop needs.
#[derive(Debug)]
pub struct Config {
    /// This node's name.
    pub node_name: String,
    /// Where the maps are pinned.
    pub pins: PinDirectory,
    /// Between two audits.
    pub audit_interval: Duration,
}

/// Runs until told to stop. `is_published` becomes true once the kernel says what the API does, or policies may not be read.
///
/// # Errors
/// When the maps cannot be opened.
pub async fn run(
    config: &Config,
    client: &Client,
    is_published: &Sender<bool>,
    stop: &CancellationToken,
) -> Result<(), MapError> {
    let maps = TypedMaps::open(&config.pins)?;
    let mut agent = Agent {
        publisher: Publisher::restore(&maps)?,
        maps,
        policies: Kind::default(),
        pods: Kind::default(),
        namespaces: Kind::default(),
        told: String::new(),
    };
    let wanted = CancellationToken::new();
    let mut changes = changes(client, wanted.clone());
    let mut audit = interval(config.audit_interval);
    audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(change) = changes.next() => {
                let mut is_changed = agent.take(change, is_published);
                for _ in 0..AT_ONCE {
                    let Some(Some(change)) = changes.next().now_or_never() else { break };
                    is_changed |= agent.take(change, is_published);
                }
                if !agent.policies.objects.is_empty() {
                    // Pods and namespaces matter from the first policy on.
                    wanted.cancel();
                }
                if is_changed {
                    due.get_or_insert_with(|| Instant::now() + SETTLE);
                }
            }
            () = until(due) => {
                due = None;
                if agent.is_complete() {
                    match tokio::task::block_in_place(|| agent.publish(&config.node_name)) {
                        Ok(()) => { is_published.send_replace(true); }
                        Err(error) => { agent.tell(&error); due = Some(Instant::now() + RETRY); }
                    }
                }
            }
            _ = audit.tick() => match tokio::task::block_in_place(|| agent.audit()) {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("somebody else changed the maps of network policies; putting it right");
                    due = Some(Instant::now());
                }
                Err(error) => agent.tell(&error),
            }
        }
    }
}

fn changes(client: &Client, wanted: CancellationToken) -> BoxStream<'static, Result<Change, watcher::Error>> {
    let policies = stream::<networking::NetworkPolicy, _>(client, "", Policy::from_api);
    let (pods_client, namespaces_client) = (client.clone(), client.clone());
    let (pods_wanted, namespaces_wanted) = (wanted.clone(), wanted);
    // Without a policy nobody asks for the cluster's pods.
    let pods = async move {
        pods_wanted.cancelled_owned().await;
        stream::<core::Pod, _>(&pods_client, "", Pod::from_api)
    };
    let namespaces = async move {
        namespaces_wanted.cancelled_owned().await;
        stream::<core::Namespace, _>(&namespaces_client, "", |object| Some(Namespace::from_api(object)))
    };
    let objects = futures::stream::select(
        pods.flatten_stream().map(|event| event.map(Change::Pod)),
        namespaces.flatten_stream().map(|event| event.map(Change::Namespace)),
    );
    futures::stream::select(policies.map(|event| event.map(Change::Policy)), objects).boxed()
}

struct Agent {
    maps: TypedMaps,
    publisher: Publisher,
    policies: Kind<Policy>,
    pods: Kind<Pod>,
    namespaces: Kind<Namespace>,
    /// The last failure that was told: the same one is not told again every second.
    told: String,
}

impl Agent {
    /// Whether anything changed.
    fn take(&mut self, change: Result<Change, watcher::Error>, is_published: &Sender<bool>) -> bool {
        let was_complete = self.is_complete();
        let is_changed = match change {
            Ok(Change::Policy(event)) => !self.policies.apply(event).is_empty(),
            Ok(Change::Pod(event)) => !self.pods.apply(event).is_empty(),
            Ok(Change::Namespace(event)) => !self.namespaces.apply(event).is_empty(),
            Err(error) => {
                if is_forbidden(&error) && !self.policies.is_complete {
                    // Services must not wait for what will never come.
                    is_published.send_replace(true);
                }
                self.tell(&error);
                false
            }
        };
        is_changed || was_complete != self.is_complete()
    }

    /// Nothing is taken for deleted before everything has been seen.
    fn is_complete(&self) -> bool {
        let has_none = self.policies.objects.is_empty();
        self.policies.is_complete && (has_none || (self.pods.is_complete && self.namespaces.is_complete))
    }

    fn publish(&mut self, node: &str) -> Result<(), MapError> {
        let policies = self.policies.objects.iter().collect();
        let cluster = Cluster { policies: &policies, pods: &self.pods.objects, namespaces: &self.namespaces.objects };
        let wanted = tables(&cluster, node);
        let is_in_force = !policies.is_empty();
        let was_in_force = self.maps.policy_generation.get(&0)?.is_some_and(|generation| generation != 0);
        if !is_in_force {
            self.maps.policy_generation.put(&0, &0)?;
        }
        let is_changed = self.publisher.publish(wanted, &self.maps)?;
        if is_in_force && (is_changed || !was_in_force) {
            self.maps.policy_generation.put(&0, &generation()?)?;
        }
        self.told.clear();
        Ok(())
    }

    /// Whether the kernel holds what we believe. Flows that have ended are forgotten.
    fn audit(&mut self) -> Result<bool, MapError> {
        if !self.is_complete() {
            return Ok(true);
        }
        self.maps.sweep_policy_flows(generation()?)?;
        self.publisher.audit(&self.maps)
    }

    fn tell(&mut self, error: &dyn std::error::Error) {
        let text = error.to_string();
        if text != self.told {
            tracing::warn!("network policies: {text}; will retry");
            self.told = text;
        }
    }
}

/// The monotonic clock: greater than every generation before it.
fn generation() -> Result<u64, MapError> {
    sweep::monotonic_ns().map_err(MapError::Clock)
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let source = match error {
        watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source) => source,
        watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_) | watcher::Error::NoResourceVersion => {
            return false;
        }
    };
    matches!(source, kube::Error::Api(status) if status.is_forbidden())
}
