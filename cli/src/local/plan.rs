//! What a local cluster is called and where its things lie. To every module beside it. Pure but for the file it is kept in.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Kept as `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The cluster's name.
    pub(crate) name: String,
    /// Chooses the address ranges: no two clusters of a machine share one.
    pub(crate) index: u8,
    /// How many nodes.
    pub(crate) nodes: u32,
    /// Where its objects are kept.
    #[serde(default)]
    pub(crate) storage: Storage,
}

/// Where a cluster's API server keeps its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Storage {
    /// In its own embedded store.
    #[default]
    Embedded,
    /// In an etcd that is started with it.
    Etcd,
}

/// One node of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name, also its host name.
    pub(crate) name: String,
    /// On the bridge.
    pub(crate) ipv4: Ipv4Addr,
    /// On the bridge.
    pub(crate) ipv6: Ipv6Addr,
}

/// Clusters a machine can hold at once: each takes a /16 for pods out of 10.244.0.0 … 10.255.0.0.
const CLUSTERS: u8 = 12;
/// A node's host part is its number plus ten; a /24 holds them all.
const MAX_NODES: u32 = 200;

impl Plan {
    /// The plan on disk.
    ///
    /// # Errors
    /// When there is none by that name.
    pub(crate) fn load(name: &str) -> anyhow::Result<Self> {
        Self::find(name)?
            .with_context(|| format!("there is no local cluster named {name:?}: `skep up --name {name}` makes one"))
    }

    /// The plan on disk, if there is one.
    pub(crate) fn find(name: &str) -> anyhow::Result<Option<Self>> {
        check_name(name)?;
        let file = clusters_dir().join(name).join("cluster.json");
        match fs::read(&file) {
            Ok(text) => {
                Ok(Some(serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    /// Takes a free index and writes the plan, or returns the one that exists (with more nodes when more are asked for).
    pub(crate) fn make(name: &str, nodes: u32, storage: Option<Storage>) -> anyhow::Result<Self> {
        check_name(name)?;
        if !(1..=MAX_NODES).contains(&nodes) {
            bail!("--nodes must be between 1 and {MAX_NODES}");
        }
        fs::create_dir_all(clusters_dir()).with_context(|| format!("create {}", clusters_dir().display()))?;
        let lock = File::create(clusters_dir().join(".lock")).context("create the lock of the clusters directory")?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .context("lock the clusters directory")?;
        let mut plan = match Self::find(name)? {
            Some(plan) if storage.is_some_and(|asked| asked != plan.storage) => bail!(
                "cluster {name} has its objects in another storage ({:?}): `skep down --name {name}` first",
                plan.storage
            ),
            Some(plan) => plan,
            None => Self { name: name.to_owned(), index: free_index()?, nodes, storage: storage.unwrap_or_default() },
        };
        plan.nodes = plan.nodes.max(nodes);
        let directory = plan.directory();
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let beside = directory.join("cluster.json.new");
        fs::write(&beside, serde_json::to_vec_pretty(&plan)?).with_context(|| format!("write {}", beside.display()))?;
        fs::rename(&beside, directory.join("cluster.json")).context("write cluster.json")?;
        Ok(plan)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        (1..=self.nodes).map(|number| self.node(number))
    }

    fn node(&self, number: u32) -> Node {
        let host = u8::try_from(number.saturating_add(10)).unwrap_or(u8::MAX);
        Node { name: format!("{}-{number}", self.name), ipv4: self.ipv4(host), ipv6: self.ipv6(host) }
    }

    /// A node by its name.
    pub(crate) fn node_named(&self, name: &str) -> anyhow::Result<Node> {
        self.nodes().find(|n| n.name == name).with_context(|| {
            let known: Vec<String> = self.nodes().map(|n| n.name).collect();
            format!("cluster {} has no node {name:?}; it has {}", self.name, known.join(", "))
        })
    }

    fn ipv4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 89, self.index, host)
    }

    fn ipv6(&self, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x10, 0x89, u16::from(self.index), 0, 0, 0, u16::from(host))
    }

    /// The bridge's own addresses: the API server listens there.
    pub(crate) fn host_addresses(&self) -> (Ipv4Addr, Ipv6Addr) {
        (self.ipv4(1), self.ipv6(1))
    }

    /// Pod range, IPv4.
    pub(crate) fn pods_v4(&self) -> (Ipv4Addr, u8) {
        (Ipv4Addr::new(10, 244_u8.saturating_add(self.index), 0, 0), 16)
    }

    /// Pod range, IPv6.
    pub(crate) fn pods_v6(&self) -> (Ipv6Addr, u8) {
        (Ipv6Addr::new(0xfd00, 0x10, 0x244, u16::from(self.index) << 8, 0, 0, 0, 0), 56)
    }

    /// Service range, IPv4.
    pub(crate) fn services_v4(&self) -> (Ipv4Addr, u8) {
        (Ipv4Addr::new(10, 96_u8.saturating_add(self.index), 0, 0), 16)
    }

    /// Service range, IPv6.
    pub(crate) fn services_v6(&self) -> (Ipv6Addr, u8) {
        (Ipv6Addr::new(0xfd00, 0x10, 0x96, u16::from(self.index), 0, 0, 0, 0), 112)
    }

    /// `https://…` of the API server.
    pub(crate) fn server_address(&self) -> std::net::SocketAddr {
        (IpAddr::from(self.host_addresses().0), 6443).into()
    }

    /// Kubeconfig context and cluster name.
    pub(crate) fn context(&self) -> String {
        format!("skep-{}", self.name)
    }

    /// Kubeconfig user name.
    pub(crate) fn user(&self) -> String {
        format!("skep-{}-admin", self.name)
    }

    /// The bridge's device name; a hash when the name is longer than devices allow.
    pub(crate) fn bridge(&self) -> String {
        device_name("skep-", &self.name)
    }

    /// What lasts.
    pub(crate) fn directory(&self) -> PathBuf {
        clusters_dir().join(&self.name)
    }

    /// Sockets, process files.
    pub(crate) fn run_directory(&self) -> PathBuf {
        Path::new("/run/skep/clusters").join(&self.name)
    }

    /// Below every cgroup hierarchy.
    pub(crate) fn cgroup(&self) -> String {
        format!("/skep-{}", self.name)
    }

    /// The API server's directory.
    pub(crate) fn server_directory(&self) -> PathBuf {
        self.directory().join("server")
    }

    /// The data of the cluster's etcd.
    pub(crate) fn etcd_directory(&self) -> PathBuf {
        self.directory().join("etcd")
    }

    /// Where that etcd serves clients, and where it would serve other members.
    pub(crate) fn etcd_addresses(&self) -> [std::net::SocketAddr; 2] {
        [2379, 2380].map(|port| (IpAddr::from(self.host_addresses().0), port).into())
    }

    /// The administrator's kubeconfig.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.directory().join("admin.kubeconfig")
    }

    /// What a node keeps.
    pub(crate) fn node_directory(&self, node: &Node) -> PathBuf {
        self.directory().join("nodes").join(&node.name)
    }

    /// A node's sockets and process files.
    pub(crate) fn node_run_directory(&self, node: &Node) -> PathBuf {
        self.run_directory().join(&node.name)
    }

    /// A node's network namespace, as `ip netns` shows it.
    pub(crate) fn namespace(&self, node: &Node) -> PathBuf {
        Path::new("/run/netns").join(format!("skep-{}", node.name))
    }

    /// The host's end of a node's cable.
    pub(crate) fn cable(&self, node: &Node) -> String {
        device_name("sk", &node.name)
    }

    /// A node's part of every cgroup hierarchy.
    pub(crate) fn node_cgroup(&self, node: &Node) -> String {
        format!("{}/{}", self.cgroup(), node.name)
    }

    /// Where a node's maps, programs and links are pinned.
    pub(crate) fn pin_directory(&self, node: &Node) -> PathBuf {
        Path::new("/sys/fs/bpf").join(format!("skep-{}", node.name))
    }

    /// The runtime's socket.
    pub(crate) fn containerd_socket(&self, node: &Node) -> PathBuf {
        self.node_run_directory(node).join("containerd.sock")
    }
}

/// Holds a directory for each local cluster.
pub(crate) fn clusters_dir() -> &'static Path {
    Path::new("/var/lib/skep/clusters")
}

/// Names become host names, file names and device names.
fn check_name(name: &str) -> anyhow::Result<()> {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !good {
        bail!("--name {name:?}: use at most 40 lower-case letters, digits and '-', starting with a letter");
    }
    Ok(())
}

fn free_index() -> anyhow::Result<u8> {
    let mut taken = Vec::new();
    for entry in fs::read_dir(clusters_dir()).context("read the clusters directory")? {
        let name = entry?.file_name();
        if let Some(plan) = name.to_str().filter(|n| !n.starts_with('.')).and_then(|n| Plan::find(n).transpose()) {
            taken.push(plan?.index);
        }
    }
    (0..CLUSTERS).find(|index| !taken.contains(index)).with_context(|| {
        format!("this machine has {CLUSTERS} local clusters, and more would share address ranges: `skep down --name …` frees one")
    })
}

/// Device names have at most 15 bytes: long ones end in a hash.
fn device_name(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}{name}");
    if whole.len() <= 15 {
        return whole;
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{prefix}{:010x}", hash >> 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_clusters_are_disjoint_and_names_fit() {
        let plan = |name: &str, index| Plan { name: name.into(), index, nodes: 3, storage: Storage::Embedded };
        let (a, b) = (plan("a", 0), plan("a-long-cluster-name-of-forty-characters-x", 11));
        assert_eq!(a.pods_v4().0.octets()[..2], [10, 244]);
        assert_eq!(b.pods_v4().0.octets()[..2], [10, 255]);
        assert_ne!(a.pods_v6().0, b.pods_v6().0);
        for plan in [a, b] {
            for node in plan.nodes() {
                assert!(plan.cable(&node).len() <= 15 && plan.bridge().len() <= 15);
                assert_ne!(plan.cable(&node), plan.bridge());
            }
        }
    }

    #[test]
    fn names_that_could_not_be_files_or_hosts_are_refused() {
        for bad in ["", "-a", "a-", "A", "a/b", "..", "1a", &"a".repeat(41)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name("dev-1").is_ok());
    }
}
