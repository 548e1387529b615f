//! The configuration of a node's own containerd. Pure.

use super::plan::{Node, Plan};

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
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}/bin"
    conf_dir = "{cni}/net.d"
"#,
        root = directory.join("containerd").display(),
        state = run.join("containerd").display(),
        socket = plan.containerd_socket(node).display(),
        cni = directory.join("cni").display(),
    )
}
