//! What a cluster could leave behind on a machine, found by its name: namespaces, devices, routes, pins, mounts, cgroups, processes, files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of devices, namespaces, pins, cgroups, mounts and files that belong to a cluster of the given name.
#[must_use]
pub fn of(cluster: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for directory in [
        "/sys/class/net",
        "/run/netns",
        "/sys/fs/bpf",
        "/var/lib/skep/clusters",
        "/run/skep/clusters",
        "/run/skep/view",
    ] {
        found
            .extend(names_in(Path::new(directory)).filter(|n| n.contains(cluster)).map(|n| format!("{directory}/{n}")));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(mounts.lines().filter(|l| l.contains(cluster)).map(str::to_owned));
    for hierarchy in mounts.lines().filter(|l| l.contains(" - cgroup")).filter_map(|l| l.split(' ').nth(4)) {
        found
            .extend(names_in(Path::new(hierarchy)).filter(|n| n.contains(cluster)).map(|n| format!("{hierarchy}/{n}")));
    }
    for table in ["link", "address", "route", "-6 route", "rule"] {
        let args = table.split(' ').chain(["show"]);
        let out = Command::new("ip").arg("-oneline").args(args).output().map(|out| out.stdout).unwrap_or_default();
        let out = String::from_utf8_lossy(&out).into_owned();
        found.extend(out.lines().filter(|line| line.contains(cluster)).map(|line| format!("ip {table}: {line}")));
    }
    found.extend(
        commands()
            .filter(|(_, command)| is_of(cluster, command))
            .map(|(process, command)| format!("process {process}: {command}")),
    );
    found
}

/// Sockets of the cluster's shims, which lie in a directory of the whole machine: asked while it lives, to be looked for when it is gone.
#[must_use]
pub fn sockets(cluster: &str) -> Vec<PathBuf> {
    let run = Path::new("/run/skep/clusters").join(cluster);
    let mut found = Vec::new();
    for node in names_in(&run) {
        let tasks = run.join(node).join("containerd/io.containerd.runtime.v2.task/k8s.io");
        for container in names_in(&tasks) {
            let address = fs::read_to_string(tasks.join(container).join("address")).unwrap_or_default();
            found.extend(address.trim().strip_prefix("unix://").map(PathBuf::from));
        }
    }
    found
}

/// Processes of a program of the cluster: `supervisor`, `server`, `etcd`, `containerd`, `kubelet`, `agent`.
#[must_use]
pub fn processes(cluster: &str, program: &str) -> Vec<String> {
    let mark = match program {
        "server" | "kubelet" => format!("skep {program} "),
        "agent" => "skep proxy ".to_owned(),
        "supervisor" => "skep node supervise ".to_owned(),
        other => format!("/{other} --"),
    };
    let ours = commands().filter(|(_, command)| is_of(cluster, command) && command.contains(&mark));
    ours.map(|(process, command)| format!("process {process}: {command}")).collect()
}

/// Whether a command line, its words each followed by a blank, names something of the cluster.
fn is_of(cluster: &str, command: &str) -> bool {
    command.contains(&format!("/{cluster}/")) || command.contains(&format!("/{cluster} "))
}

/// Every process with its command line.
fn commands() -> impl Iterator<Item = (String, String)> {
    let processes = names_in(Path::new("/proc")).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    processes.map(|process| {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        (process, String::from_utf8_lossy(&command).replace('\0', " "))
    })
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned())
}
