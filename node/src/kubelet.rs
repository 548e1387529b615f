//! What all parts of one kubelet share; made once in [`run`](mod@crate::run); used by the pod workers, the server and the node
//! reports. The handles perform IO.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;
use kube::runtime::reflector::Store;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::cri::Runtime;
use crate::cri::observed::PodState;
use crate::directories::Directories;
use crate::events::Events;
use crate::images::Images;
use crate::machine::Machine;
use crate::objects::Objects;
use crate::pod;
use crate::spec::dns::NodeDns;
use crate::spec::field_path::Surroundings;
use crate::volumes::Volumes;

/// Whether pods can be started: what the runtime last said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeHealth {
    /// Why the runtime is not ready; `None` when it is.
    pub runtime_problem: Option<String>,
    /// Why the pod network is not ready; `None` when it is.
    pub network_problem: Option<String>,
    /// How often the runtime was silent and answered again.
    pub outages: u32,
    /// It gave no answer to the last question; for a while that is no problem.
    pub is_silent: bool,
}

/// A pod as the server and other parts see it.
#[derive(Clone, Debug)]
pub struct PodView {
    /// The object.
    pub pod: Arc<Pod>,
    /// What the runtime has of it.
    pub state: Arc<PodState>,
    /// The status last reported.
    pub status: Arc<PodStatus>,
}

/// The shared handles.
pub struct Kubelet {
    /// Settings.
    pub config: Config,
    /// The container runtime.
    pub runtime: Runtime,
    /// The API, unless only static pods run.
    pub client: Option<Client>,
    /// Takes events.
    pub events: Events,
    /// ConfigMaps and Secrets.
    pub objects: Arc<Objects>,
    /// Services, for environment variables; `None` without API.
    pub services: Option<Store<Service>>,
    /// Pulls images.
    pub images: Images,
    /// Mounts volumes.
    pub volumes: Volumes,
    /// Pod cgroups.
    pub cgroups: Cgroups,
    /// Where things are kept.
    pub directories: Directories,
    /// Resolver settings.
    pub dns: NodeDns,
    /// The node's hardware and system.
    pub machine: Machine,
    /// What the node offers pods.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Whether pods can be started.
    pub health: watch::Receiver<RuntimeHealth>,
    /// Counts the mirror pods made.
    pub mirrors: watch::Sender<u64>,
    /// Pods by UID.
    pub pods: RwLock<HashMap<String, PodView>>,
    /// Addresses of the node; learnt from the configuration.
    pub host_ips: Vec<IpAddr>,
}

impl Kubelet {
    /// The pod of that namespace and name, and UID if one is given.
    pub fn find_pod(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<PodView> {
        let pods = self.pods.read();
        let fits = |view: &&PodView| {
            pod::namespace(&view.pod) == namespace
                && pod::name(&view.pod) == name
                && uid.is_none_or(|uid| pod::uid(&view.pod) == uid)
        };
        // A terminated pod of the same name may still be being cleaned up.
        let mut found: Vec<&PodView> = pods.values().filter(fits).collect();
        found.sort_by_key(|view| view.pod.metadata.deletion_timestamp.is_some());
        found.first().copied().cloned()
    }

    /// What the downward API tells a pod with these addresses.
    pub fn surroundings(&self, pod_ips: Vec<IpAddr>) -> Surroundings {
        Surroundings { host_ips: self.host_ips.clone(), pod_ips, allocatable: self.allocatable.clone() }
    }
}
