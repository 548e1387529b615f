//! Every map, in the order of `skep_proxy_ebpf::maps`. To the steps.

use crate::steps::flow::Flow;
use aya_ebpf::{
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, SkStorage},
    macros::btf_map,
};
use skep_proxy_ebpf::maps::{
    affinity::{self, AffinityKey, AffinityValue},
    backend::{self, ChunkKey, ChunkValue},
    backend_count::{self, BackendCount, BackendCountKey},
    config::{self, NodeConfig},
    conntrack::{self, ConntrackKey, ConntrackValue},
    drop_count::{self, DropCount},
    fragment::{self, FragmentKey, FragmentValue},
    identity::{self, IdentityKey},
    node::{self, NodeKey, NodeValue},
    pod::{self, PodKey, PodValue},
    pod_policy::{self, PodPolicyValue},
    policy_count::{self, PolicyCount, PolicyCountKey},
    policy_flow::{self, PolicyFlowKey, PolicyFlowValue},
    policy_namespace::{self, PolicyNamespaceKey},
    policy_rule::{self, PolicyRuleKey, PolicyRuleValue},
    service::{self, ServiceKey, ServiceValue},
    socket_origin::SocketOrigin,
    source_range::{self, SourceRangeKey},
    udp_peer::UdpPeers,
};

/// `BPF_F_NO_PREALLOC`: memory is taken as elements come.
const ON_DEMAND: usize = 1;

#[btf_map]
pub(crate) static CONFIG: Array<NodeConfig, { config::CAPACITY as usize }> = Array::new();
#[btf_map]
pub(crate) static BACKENDS: HashMap<ChunkKey, ChunkValue, { backend::CAPACITY as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static BACKEND_COUNT: HashMap<
    BackendCountKey,
    BackendCount,
    { backend_count::CAPACITY as usize },
    ON_DEMAND,
> = HashMap::new();
#[btf_map]
pub(crate) static SERVICES: HashMap<ServiceKey, ServiceValue, { service::CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static SOURCE_RANGES: LpmTrie<SourceRangeKey, u32, { source_range::CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static AFFINITY: HashMap<AffinityKey, AffinityValue, { affinity::CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static PODS: HashMap<PodKey, PodValue, { pod::CAPACITY as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static NODES: LpmTrie<NodeKey, NodeValue, { node::CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static SOCKET_ORIGIN: SkStorage<SocketOrigin> = SkStorage::new();
#[btf_map]
pub(crate) static UDP_PEERS: SkStorage<UdpPeers> = SkStorage::new();
#[btf_map]
pub(crate) static CONNTRACK: HashMap<ConntrackKey, ConntrackValue, { conntrack::CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static CONNTRACK_CLOCK: Array<u64, 1> = Array::new();
#[btf_map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, FragmentValue, { fragment::CAPACITY as usize }> =
    LruHashMap::new();
#[btf_map]
pub(crate) static IDENTITIES: LpmTrie<IdentityKey, u64, { identity::CAPACITY as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static POD_POLICY: HashMap<PodKey, PodPolicyValue, { pod_policy::CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static POLICY_COUNT: HashMap<PolicyCountKey, PolicyCount, { policy_count::CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static POLICY_FLOWS: HashMap<PolicyFlowKey, PolicyFlowValue, { policy_flow::CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static POLICY_NAMESPACES: HashMap<
    PolicyNamespaceKey,
    u32,
    { policy_namespace::CAPACITY as usize },
    ON_DEMAND,
> = HashMap::new();
#[btf_map]
pub(crate) static POLICY_RULES: LpmTrie<PolicyRuleKey, PolicyRuleValue, { policy_rule::CAPACITY as usize }> =
    LpmTrie::new();
#[btf_map]
pub(crate) static POLICY_GENERATION: Array<u64, 1> = Array::new();
#[btf_map]
pub(crate) static DROP_COUNT: PerCpuArray<DropCount, { drop_count::CAPACITY as usize }> = PerCpuArray::new();

/// Not shared with user space: what a packet program works on, where its stack of 512 bytes is too small. A packet program
/// is never interrupted by another one on the same CPU.
#[btf_map]
pub(crate) static FLOW: PerCpuArray<Flow, 1> = PerCpuArray::new();
