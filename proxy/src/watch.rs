//! The API's Services, EndpointSlices, Nodes and `ServiceCIDR`s, and which of them changed. From any conformant API
//! server; to [`crate::desired`] through a dirty set.
//!
//! Channel in: four watches. Channel out: [`Change`], applied to [`Objects`], which remembers what is dirty until it is
//! taken. A watch that had to start anew lists everything again; what is missing in that list is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt as _};
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::desired::{self, Place, ServicePortTable};
use crate::objects::{LABEL_HEADLESS, LABEL_PROXY_NAME, Node, ObjectName, Service, Slice};

/// One step of a watch, with the object as far as it matters (`None`: not for this agent, which is as good as gone).
pub type Step<T> = Event<(ObjectName, Option<T>)>;

/// One step of one of the watches.
#[derive(Debug)]
pub enum Change {
    /// Of Services.
    Service(Step<Service>),
    /// Of EndpointSlices.
    Slice(Step<Slice>),
    /// Of Nodes.
    Node(Step<Node>),
    /// Of `ServiceCIDR`s.
    ServiceRange(Step<Vec<IpNetwork>>),
}

/// All watches, for ever. An error is one of a watch that goes on by itself after a pause.
#[must_use]
pub fn changes(client: &Client) -> BoxStream<'static, Result<Change, watcher::Error>> {
    let labels = format!("!{LABEL_PROXY_NAME},!{LABEL_HEADLESS}");
    let services =
        stream::<core::Service, _>(client, &labels, Service::from_api).map(|event| event.map(Change::Service));
    let slices =
        stream::<discovery::EndpointSlice, _>(client, &labels, Slice::from_api).map(|event| event.map(Change::Slice));
    let nodes =
        stream::<core::Node, _>(client, "", |node| Some(Node::from_api(node))).map(|event| event.map(Change::Node));
    // API servers before 1.33 do not have them, and a role may not allow them: then the configured ranges are all
    // there is.
    let ranges =
        stream::<networking::ServiceCIDR, _>(client, "", service_ranges).filter_map(async |event| match event {
            Ok(event) => Some(Ok(Change::ServiceRange(event))),
            Err(error) => {
                tracing::debug!("watch ServiceCIDRs: {error}");
                None
            }
        });
    let objects = futures::stream::select(services, futures::stream::select(slices, nodes));
    futures::stream::select(objects, ranges).boxed()
}

fn service_ranges(object: &networking::ServiceCIDR) -> Option<Vec<IpNetwork>> {
    let ranges = object.spec.as_ref()?.cidrs.iter().flatten();
    Some(ranges.filter_map(|range| range.parse().ok()).collect())
}

/// The watch of one kind, for ever; `convert` takes what matters of an object.
pub(crate) fn stream<K, T>(
    client: &Client,
    labels: &str,
    convert: fn(&K) -> Option<T>,
) -> BoxStream<'static, Result<Step<T>, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send + 'static,
{
    let config = if labels.is_empty() { watcher::Config::default() } else { watcher::Config::default().labels(labels) };
    let convert = move |object: K| (ObjectName::of(object.meta()), convert(&object));
    watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        .map(move |event| {
            event.map(|event| match event {
                Event::Apply(object) => Event::Apply(convert(object)),
                Event::Delete(object) => Event::Delete(convert(object)),
                Event::Init => Event::Init,
                Event::InitApply(object) => Event::InitApply(convert(object)),
                Event::InitDone => Event::InitDone,
            })
        })
        .boxed()
}

/// Objects of one kind, and how far their list has come.
#[derive(Debug)]
pub(crate) struct Kind<T> {
    pub(crate) objects: HashMap<ObjectName, T>,
    /// Seen in the list under way.
    listed: HashSet<ObjectName>,
    /// A whole list has been seen.
    pub(crate) is_complete: bool,
}

impl<T> Default for Kind<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), listed: HashSet::new(), is_complete: false }
    }
}

impl<T: PartialEq> Kind<T> {
    /// What changed: each with what was there before.
    pub(crate) fn apply(&mut self, event: Step<T>) -> Vec<(ObjectName, Option<T>)> {
        match event {
            Event::Apply((name, object)) => self.set(name, object).into_iter().collect(),
            Event::Delete((name, _)) => self.set(name, None).into_iter().collect(),
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply((name, object)) => {
                self.listed.insert(name.clone());
                self.set(name, object).into_iter().collect()
            }
            Event::InitDone => {
                self.is_complete = true;
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<ObjectName> =
                    self.objects.keys().filter(|name| !listed.contains(name)).cloned().collect();
                gone.into_iter().filter_map(|name| self.set(name, None)).collect()
            }
        }
    }

    /// `None` when nothing changed that matters.
    fn set(&mut self, name: ObjectName, object: Option<T>) -> Option<(ObjectName, Option<T>)> {
        match object {
            Some(object) if self.objects.get(&name) == Some(&object) => None,
            Some(object) => {
                let before = self.objects.insert(name.clone(), object);
                Some((name, before))
            }
            None => self.objects.remove(&name).map(|before| (name, Some(before))),
        }
    }
}

/// What is known of the cluster, and what of it changed since it was last taken.
#[derive(Debug, Default)]
pub struct Objects {
    services: Kind<Service>,
    slices: Kind<Slice>,
    nodes: Kind<Node>,
    service_ranges: Kind<Vec<IpNetwork>>,
    /// Slices by Service: names of slices.
    by_service: HashMap<ObjectName, BTreeSet<ObjectName>>,
    dirty_services: BTreeSet<ObjectName>,
    dirty_nodes: bool,
}

impl Objects {
    /// Takes in one step of a watch.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Service(event) => {
                let changed = self.services.apply(event);
                self.dirty_services.extend(changed.into_iter().map(|(name, _)| name));
            }
            Change::Slice(event) => {
                for (name, before) in self.slices.apply(event) {
                    if let Some(before) = before {
                        self.forget_slice(&name, &before.service);
                    }
                    if let Some(now) = self.slices.objects.get(&name) {
                        self.by_service.entry(now.service.clone()).or_default().insert(name);
                        self.dirty_services.insert(now.service.clone());
                    }
                }
            }
            Change::Node(event) => self.dirty_nodes |= !self.nodes.apply(event).is_empty(),
            Change::ServiceRange(event) => self.dirty_nodes |= !self.service_ranges.apply(event).is_empty(),
        }
    }

    fn forget_slice(&mut self, name: &ObjectName, service: &ObjectName) {
        if let Some(names) = self.by_service.get_mut(service) {
            names.remove(name);
            if names.is_empty() {
                self.by_service.remove(service);
            }
        }
        self.dirty_services.insert(service.clone());
    }

    /// Whether every Service and slice has been seen: before that, nothing may be taken for deleted.
    #[must_use]
    pub const fn has_all_services(&self) -> bool {
        self.services.is_complete && self.slices.is_complete
    }

    /// Whether every node has been seen.
    #[must_use]
    pub const fn has_all_nodes(&self) -> bool {
        self.nodes.is_complete
    }

    /// The Services that changed, or whose endpoints did.
    pub fn take_dirty_services(&mut self) -> BTreeSet<ObjectName> {
        std::mem::take(&mut self.dirty_services)
    }

    /// Whether nodes changed, or the ranges of ClusterIPs.
    pub const fn take_dirty_nodes(&mut self) -> bool {
        std::mem::replace(&mut self.dirty_nodes, false)
    }

    /// Says that a Service must be looked at again.
    pub fn mark(&mut self, service: ObjectName) {
        self.dirty_services.insert(service);
    }

    /// Says that every Service must be looked at again: the place changed.
    pub fn mark_all(&mut self) {
        self.dirty_services.extend(self.services.objects.keys().cloned());
    }

    /// The Service of that name.
    #[must_use]
    pub fn service(&self, name: &ObjectName) -> Option<&Service> {
        self.services.objects.get(name)
    }

    /// The tables of one Service; none when it is gone.
    #[must_use]
    pub fn tables(&self, service: &ObjectName, place: &Place) -> Vec<ServicePortTable> {
        let Some(object) = self.services.objects.get(service) else { return Vec::new() };
        desired::tables(service, object, &self.slices_of(service), place)
    }

    /// The slices of one Service, in a fixed order.
    #[must_use]
    pub fn slices_of(&self, service: &ObjectName) -> Vec<&Slice> {
        let names = self.by_service.get(service).into_iter().flatten();
        names.filter_map(|name| self.slices.objects.get(name)).collect()
    }

    /// Every Service, by name.
    pub fn services(&self) -> impl Iterator<Item = (&ObjectName, &Service)> {
        let sorted: BTreeMap<_, _> = self.services.objects.iter().collect();
        sorted.into_iter()
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.objects.values()
    }

    /// The ranges ClusterIPs come from, as the API says.
    #[must_use]
    pub fn service_ranges(&self) -> BTreeSet<IpNetwork> {
        self.service_ranges.objects.values().flatten().copied().collect()
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.objects.get(&ObjectName { namespace: "".into(), name: Arc::from(name) })
    }
}
