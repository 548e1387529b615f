//! What a cluster could leave behind on a machine: compared before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
    for process in names_in(Path::new("/proc")).filter(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&format!("/{cluster}/")) {
            found.insert(format!("process {process}: {command}"));
        }
    }
    found
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned())
}
