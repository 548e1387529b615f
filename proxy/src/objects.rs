//! What matters of the API's objects, in types that cannot be wrong. From [`crate::watch`]; to [`crate::desired`].
//! Pure.
//!
//! Everything else is dropped at the door: an agent that kept whole objects would need ten times the memory.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use skep_proxy_ebpf::maps::service::Algorithm;
use skep_proxy_ebpf::protocol::Protocol;

/// Services and slices with this label are another proxy's.
pub const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Slices (and, as kube-proxy has it, Services) with this label belong to headless Services.
pub const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// Names a slice's Service.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Names a node's zone.
pub const LABEL_ZONE: &str = "topology.kubernetes.io/zone";
/// Chooses a Service's algorithm: `random`, `round-robin`.
pub const ANNOTATION_ALGORITHM: &str = "skep.dev/load-balancing";

/// Seconds of session affinity when a Service does not say.
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Namespace; empty for objects of the cluster.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// From its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of an object.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// `spec.type`, for Services that have frontends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// `ClusterIP`.
    ClusterIp,
    /// `NodePort`.
    NodePort,
    /// `LoadBalancer`.
    LoadBalancer,
}

impl ServiceType {
    /// As the API writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// A Service that this agent serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.uid`: a Service that is deleted and made anew is another one.
    pub uid: Arc<str>,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress` with `ipMode` VIP.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `spec.externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Seconds of session affinity by client.
    pub affinity_seconds: Option<u32>,
    /// Annotation [`ANNOTATION_ALGORITHM`].
    pub algorithm: Algorithm,
    /// What the annotation says when it names no algorithm; [`Algorithm::Random`] is used then.
    pub unknown_algorithm: Option<Arc<str>>,
}

/// One element of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty for the only port.
    pub name: Arc<str>,
    /// The port clients dial.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port on every node.
    pub node_port: Option<u16>,
}

impl Service {
    /// `None` for Services without frontends here: headless ones, external names, those of another proxy.
    #[must_use]
    pub fn from_api(service: &core::Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        if has_label(&service.metadata, LABEL_PROXY_NAME) || has_label(&service.metadata, LABEL_HEADLESS) {
            return None;
        }
        let kind = match spec.type_.as_deref().unwrap_or("ClusterIP") {
            "ClusterIP" => ServiceType::ClusterIp,
            "NodePort" => ServiceType::NodePort,
            "LoadBalancer" => ServiceType::LoadBalancer,
            _ => return None,
        };
        let cluster_ip = spec.cluster_ip.as_deref().unwrap_or_default();
        if cluster_ip.is_empty() || cluster_ip == "None" {
            return None;
        }
        let mut cluster_ips = addresses(spec.cluster_ips.iter().flatten().map(String::as_str));
        if cluster_ips.is_empty() {
            cluster_ips = addresses([cluster_ip]);
        }
        let ingress = service.status.iter().filter_map(|s| s.load_balancer.as_ref()?.ingress.as_ref()).flatten();
        let vips = ingress.filter(|i| i.ip_mode.as_deref() != Some("Proxy")).filter_map(|i| i.ip.as_deref());
        let annotations = service.metadata.annotations.as_ref();
        let annotation = annotations.and_then(|all| all.get(ANNOTATION_ALGORITHM)).map(String::as_str);
        let algorithm = algorithm(annotation);
        let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
        let timeout = spec.session_affinity_config.iter().find_map(|c| c.client_ip.as_ref()?.timeout_seconds);
        let timeout = timeout.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DEFAULT_AFFINITY_SECONDS);
        Some(Self {
            uid: service.metadata.uid.as_deref().unwrap_or_default().into(),
            kind,
            cluster_ips,
            external_ips: addresses(spec.external_ips.iter().flatten().map(String::as_str)),
            load_balancer_ips: if kind == ServiceType::LoadBalancer { addresses(vips) } else { Vec::new() },
            ports: spec.ports.iter().flatten().filter_map(ServicePort::from_api).collect(),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            affinity_seconds: affinity.then_some(timeout),
            algorithm: algorithm.unwrap_or_default(),
            unknown_algorithm: if algorithm.is_none() { annotation.map(Arc::from) } else { None },
        })
    }
}

impl ServicePort {
    fn from_api(port: &core::ServicePort) -> Option<Self> {
        Some(Self {
            name: port.name.as_deref().unwrap_or_default().into(),
            port: port_number(port.port)?,
            protocol: protocol(port.protocol.as_deref())?,
            node_port: port.node_port.and_then(port_number),
        })
    }
}

/// One `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service it belongs to.
    pub service: ObjectName,
    /// `addressType`.
    pub is_ipv4: bool,
    /// Its ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One element of a slice's `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Names the Service's port.
    pub name: Arc<str>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The port endpoints listen on.
    pub port: u16,
}

/// One element of a slice's `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its first address: the others are, by definition, as good.
    pub address: IpAddr,
    /// `conditions`.
    pub conditions: Conditions,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// `hints.forZones`.
    pub zone_hints: Vec<Arc<str>>,
    /// `hints.forNodes`.
    pub node_hints: Vec<Arc<str>>,
    /// The pod behind it.
    pub pod: Option<ObjectName>,
}

/// `conditions` of an endpoint, with what absence means filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Takes new connections. Absent means yes.
    pub ready: bool,
    /// Answers, be it on its way out. Absent means yes.
    pub serving: bool,
    /// On its way out. Absent means no.
    pub terminating: bool,
}

impl Slice {
    /// `None` for slices of no Service, of another proxy, of headless Services, or of names.
    #[must_use]
    pub fn from_api(slice: &discovery::EndpointSlice) -> Option<Self> {
        if has_label(&slice.metadata, LABEL_PROXY_NAME) || has_label(&slice.metadata, LABEL_HEADLESS) {
            return None;
        }
        let service = slice.metadata.labels.as_ref()?.get(LABEL_SERVICE_NAME).filter(|name| !name.is_empty())?;
        let is_ipv4 = match slice.address_type.as_str() {
            "IPv4" => true,
            "IPv6" => false,
            _ => return None,
        };
        Some(Self {
            service: ObjectName::new(slice.metadata.namespace.as_deref().unwrap_or_default(), service),
            is_ipv4,
            ports: slice.ports.iter().flatten().filter_map(SlicePort::from_api).collect(),
            endpoints: slice
                .endpoints
                .iter()
                .filter_map(Endpoint::from_api)
                .filter(|endpoint| endpoint.address.is_ipv4() == is_ipv4)
                .collect(),
        })
    }
}

impl SlicePort {
    fn from_api(port: &discovery::EndpointPort) -> Option<Self> {
        Some(Self {
            name: port.name.as_deref().unwrap_or_default().into(),
            protocol: protocol(port.protocol.as_deref())?,
            port: port_number(port.port?)?,
        })
    }
}

impl Endpoint {
    fn from_api(endpoint: &discovery::Endpoint) -> Option<Self> {
        let conditions = endpoint.conditions.as_ref();
        let condition = |read: fn(&discovery::EndpointConditions) -> Option<bool>| conditions.and_then(read);
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Arc::from);
        let hints = endpoint.hints.as_ref();
        let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        Some(Self {
            address: endpoint.addresses.first()?.parse().ok()?,
            conditions: Conditions {
                ready: condition(|c| c.ready).unwrap_or(true),
                serving: condition(|c| c.serving).unwrap_or(true),
                terminating: condition(|c| c.terminating).unwrap_or(false),
            },
            node: text(&endpoint.node_name),
            zone: text(&endpoint.zone),
            zone_hints: hints
                .iter()
                .flat_map(|h| h.for_zones.iter().flatten())
                .map(|z| z.name.as_str().into())
                .collect(),
            node_hints: hints
                .iter()
                .flat_map(|h| h.for_nodes.iter().flatten())
                .map(|n| n.name.as_str().into())
                .collect(),
            pod: target.map(|t| {
                ObjectName::new(t.namespace.as_deref().unwrap_or_default(), t.name.as_deref().unwrap_or_default())
            }),
        })
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// `status.addresses` of type `InternalIP`.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`, at most one per family.
    pub pod_cidrs: Vec<IpNetwork>,
    /// Label [`LABEL_ZONE`].
    pub zone: Option<Arc<str>>,
}

impl Node {
    /// Everything absent is empty: a node may be very young.
    #[must_use]
    pub fn from_api(node: &core::Node) -> Self {
        let all = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let internal = all.filter(|a| a.type_ == "InternalIP").map(|a| a.address.as_str());
        let spec = node.spec.as_ref();
        let listed = spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten());
        let single = spec.and_then(|spec| spec.pod_cidr.as_ref());
        let mut pod_cidrs: Vec<IpNetwork> = Vec::new();
        // One per family, as the API has it: the plugin gives a pod one address of each range.
        for range in listed.chain(single).filter_map(|text| text.parse::<IpNetwork>().ok()) {
            if pod_cidrs.iter().all(|held| held.is_ipv4() != range.is_ipv4()) {
                pod_cidrs.push(range);
            }
        }
        let labels = node.metadata.labels.as_ref();
        Self {
            name: node.metadata.name.as_deref().unwrap_or_default().into(),
            addresses: addresses(internal),
            pod_cidrs,
            zone: labels.and_then(|labels| labels.get(LABEL_ZONE)).map(|zone| zone.as_str().into()),
        }
    }
}

pub(crate) fn addresses<'a, I: IntoIterator<Item = &'a str>>(texts: I) -> Vec<IpAddr> {
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}

fn has_label(metadata: &ObjectMeta, name: &str) -> bool {
    metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(name))
}

fn port_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

pub(crate) fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name.unwrap_or("TCP") {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// `None` for a word that names no algorithm.
fn algorithm(annotation: Option<&str>) -> Option<Algorithm> {
    match annotation {
        None | Some("random") => Some(Algorithm::Random),
        Some("round-robin") => Some(Algorithm::RoundRobin),
        Some(_) => None,
    }
}
