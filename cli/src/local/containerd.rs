//! A node's own containerd: its configuration, and what it leaves outside its directories. From the plan; to [`super::start`] and [`super::remove`].

use std::fs;
use std::path::PathBuf;

use super::plan::{Node, Plan};

/// Sockets of the shims that a node's containerd has started. They lie in a directory that all runtimes of a machine share, whatever their configuration
/// says, and a shim that is killed leaves its own; beside each container, containerd notes which it is.
pub(crate) fn shim_sockets(plan: &Plan, node: &Node) -> Vec<PathBuf> {
    let tasks = plan.node_run_directory(node).join("containerd/io.containerd.runtime.v2.task/k8s.io");
    let containers = fs::read_dir(tasks).into_iter().flatten().flatten();
    let addresses = containers.filter_map(|container| fs::read_to_string(container.path().join("address")).ok());
    addresses.filter_map(|address| address.trim().strip_prefix("unix://").map(PathBuf::from)).collect()
}

/// Version 2 of containerd's configuration: 1.6 reads it, 2.x migrates it.
pub(crate) fn config(plan: &Plan, node: &Node, pause_image: &str) -> String {
    let directory = plan.node_directory(node);
    let run = plan.node_run_directory(node);
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  max_container_log_line_size = 262144
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{runc}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}/bin"
    conf_dir = "{cni}/net.d"
"#,
        root = directory.join("containerd").display(),
        state = run.join("containerd").display(),
        runc = run.join("runc").display(),
        socket = plan.containerd_socket(node).display(),
        cni = directory.join("cni").display(),
    )
}
