//! Takes a local cluster away, with everything it left in the kernel and on disk. Works on half-made and half-removed ones.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use nix::mount::{MntFlags, umount2};
use skep_proxy::names;
use skep_proxy_ebpf::pins::PinDirectory;

use super::plan::{self, Plan};
use super::{cgroup, containerd, namespace, network, process};

/// Ends its processes and removes cgroups, mounts, pins, namespaces, devices and files.
pub(crate) async fn cluster(plan: &Plan, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    // First who would start anew what is being ended: the supervisor, then kubelets and agents. By name: no program needs to be installed for it.
    let run = plan.run_directory();
    process::stop(&run, "supervisor")?;
    for node in plan.nodes() {
        for name in ["kubelet", "agent", "containerd"] {
            process::stop(&plan.node_run_directory(&node), name)?;
        }
    }
    for name in ["server", "etcd"] {
        process::stop(&run, name)?;
    }
    cgroup::remove(&plan.cgroup())?;
    say("processes and cgroups");
    for directory in [plan.directory(), plan.run_directory()] {
        unmount_below(&directory)?;
    }
    for socket in plan.nodes().flat_map(|node| containerd::shim_sockets(plan, &node)) {
        remove_file(&socket)?;
    }
    for node in plan.nodes() {
        let pins = plan.pin_directory(&node);
        remove_file(&names::path(Path::new(names::DEFAULT_DIRECTORY), &PinDirectory::new(pins.clone())))?;
        remove_tree(&pins)?;
        namespace::remove(&plan.namespace(&node))?;
    }
    network::remove(plan).await?;
    say("network, maps and programs");
    remove_tree(&plan.run_directory())?;
    // The plan goes last: until then the cluster can be found and removed again.
    remove_tree(&plan.directory())?;
    say("files");
    Ok(())
}

/// Removes what an `up` or a `down` that was killed left of a cluster without a plan: files alone, for the plan is written first and goes last.
pub(crate) fn remains(name: &str) -> anyhow::Result<()> {
    remove_tree(&plan::clusters_dir().join(name))
}

/// Innermost mounts first.
fn unmount_below(directory: &Path) -> anyhow::Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    let mounts = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|path| path.replace("\\040", " "));
    let mut below: Vec<String> = mounts.filter(|path| Path::new(path).starts_with(directory)).collect();
    below.reverse();
    for path in below {
        umount2(path.as_str(), MntFlags::MNT_DETACH).with_context(|| format!("unmount {path}"))?;
    }
    Ok(())
}

fn remove_tree(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
