//! What matters of policies, pods and namespaces. From the API's objects; to [`super::compile`]. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Selector;
use skep_proxy_ebpf::protocol::Protocol;

use crate::objects::{addresses, protocol};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whom it isolates, in its namespace.
    pub pods: Selector,
    /// What may come to them; `None` when the policy says nothing of it.
    pub ingress: Option<Vec<Rule>>,
    /// What they may send; `None` when the policy says nothing of it.
    pub egress: Option<Vec<Rule>>,
}

/// One element of `ingress` or `egress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The other end; `None` is anybody.
    pub peers: Option<Vec<Peer>>,
    /// The ports called; `None` is any of any protocol.
    pub ports: Option<Vec<Port>>,
}

/// One element of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `podSelector` and `namespaceSelector`.
    Pods {
        /// `None`: the policy's own namespace.
        namespaces: Option<Selector>,
        /// An empty one is every pod.
        pods: Selector,
    },
    /// `ipBlock`.
    Block(Block),
}

/// A range of addresses with holes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// `cidr`.
    pub range: IpNetwork,
    /// `except`.
    pub except: Vec<IpNetwork>,
}

/// One element of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `protocol`.
    pub protocol: Protocol,
    /// `port` and `endPort`.
    pub number: PortNumber,
}

/// Which ports of a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortNumber {
    /// All.
    Any,
    /// From and to.
    Range(u16, u16),
    /// The port which a container of the called pod gives that name.
    Named(Arc<str>),
}

impl Policy {
    /// What cannot be read grants nothing: the API server lets no such thing pass.
    #[must_use]
    pub fn from_api(policy: &networking::NetworkPolicy) -> Option<Self> {
        let spec = policy.spec.as_ref()?;
        let has_type = |name| spec.policy_types.iter().flatten().any(|t| t == name);
        let says_types = spec.policy_types.as_ref().is_some_and(|types| !types.is_empty());
        // Absent types mean ingress, and egress where there are such rules.
        let is_ingress = if says_types { has_type("Ingress") } else { true };
        let is_egress = if says_types { has_type("Egress") } else { spec.egress.is_some() };
        let ingress = || spec.ingress.iter().flatten().map(|r| Rule::from_api(r.from.as_ref(), r.ports.as_ref()));
        let egress = || spec.egress.iter().flatten().map(|r| Rule::from_api(r.to.as_ref(), r.ports.as_ref()));
        Some(Self {
            pods: spec.pod_selector.as_ref().and_then(selector).unwrap_or_default(),
            ingress: is_ingress.then(|| ingress().collect()),
            egress: is_egress.then(|| egress().collect()),
        })
    }
}

impl Rule {
    fn from_api(
        peers: Option<&Vec<networking::NetworkPolicyPeer>>,
        ports: Option<&Vec<networking::NetworkPolicyPort>>,
    ) -> Self {
        // An empty list says as much as none.
        let peers = peers.filter(|peers| !peers.is_empty());
        let ports = ports.filter(|ports| !ports.is_empty());
        Self {
            peers: peers.map(|peers| peers.iter().filter_map(Peer::from_api).collect()),
            ports: ports.map(|ports| ports.iter().filter_map(Port::from_api).collect()),
        }
    }
}

impl Peer {
    fn from_api(peer: &networking::NetworkPolicyPeer) -> Option<Self> {
        if let Some(block) = &peer.ip_block {
            let except = block.except.iter().flatten().filter_map(|text| text.parse().ok());
            return Some(Self::Block(Block { range: block.cidr.parse().ok()?, except: except.collect() }));
        }
        let namespaces = match &peer.namespace_selector {
            Some(namespaces) => Some(selector(namespaces)?),
            None => None,
        };
        let pods = match &peer.pod_selector {
            Some(pods) => selector(pods)?,
            None if namespaces.is_some() => Selector::default(),
            None => return None,
        };
        Some(Self::Pods { namespaces, pods })
    }
}

impl Port {
    fn from_api(port: &networking::NetworkPolicyPort) -> Option<Self> {
        let number = match &port.port {
            None => PortNumber::Any,
            Some(IntOrString::String(name)) => PortNumber::Named(name.as_str().into()),
            Some(IntOrString::Int(first)) => {
                let first = u16::try_from(*first).ok()?;
                let last = port.end_port.map_or(Some(first), |last| u16::try_from(last).ok())?;
                PortNumber::Range(first, last)
            }
        };
        Some(Self { protocol: protocol(port.protocol.as_deref())?, number })
    }
}

fn selector(selector: &LabelSelector) -> Option<Selector> {
    selector.clone().try_into().ok()
}

/// A pod that has addresses of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Labels.
    pub labels: Labels,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// `spec.nodeName`.
    pub node: Arc<str>,
    /// Ports which its containers name.
    pub ports: Vec<NamedPort>,
}

/// A named port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    /// Its name.
    pub name: Arc<str>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

impl Pod {
    /// `None` for pods that have no address, have ended, or share the node's.
    #[must_use]
    pub fn from_api(pod: &core::Pod) -> Option<Self> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
        if spec.host_network == Some(true) || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let addresses = addresses(status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()));
        if addresses.is_empty() {
            return None;
        }
        let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
        Some(Self {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            addresses,
            node: spec.node_name.as_deref().unwrap_or_default().into(),
            ports: ports.filter_map(NamedPort::from_api).collect(),
        })
    }

    /// The number of a named port.
    #[must_use]
    pub fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        self.ports.iter().find(|port| *port.name == *name && port.protocol == protocol).map(|port| port.number)
    }
}

impl NamedPort {
    fn from_api(port: &core::ContainerPort) -> Option<Self> {
        Some(Self {
            name: port.name.as_deref()?.into(),
            protocol: protocol(port.protocol.as_deref())?,
            number: u16::try_from(port.container_port).ok()?,
        })
    }
}

/// A Kubernetes namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: Labels,
}

impl Namespace {
    /// Its labels.
    #[must_use]
    pub fn from_api(namespace: &core::Namespace) -> Self {
        Self { labels: namespace.metadata.labels.clone().unwrap_or_default() }
    }
}
