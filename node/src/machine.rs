//! The node's hardware and system: memory, processors, disk, versions; from /proc and /etc; to [`node_status`](crate::node_status)
//! and resources. Reads files.

use std::fs;
use std::path::Path;

/// What does not change while the kubelet runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Processors.
    pub processors: i64,
    /// Size in bytes of the file system below the kubelet's root.
    pub disk_bytes: i64,
    /// Changes at each boot.
    pub boot_id: String,
    /// /etc/machine-id.
    pub machine_id: String,
    /// UUID of the hardware, or the machine id.
    pub system_uuid: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Name of the distribution.
    pub os_image: String,
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

impl Machine {
    /// Reads what there is; what cannot be read stays empty or zero.
    pub fn read(root: &Path) -> Self {
        let machine_id = line("/etc/machine-id");
        let uuid = line("/sys/class/dmi/id/product_uuid");
        Self {
            memory_bytes: memory("MemTotal:"),
            processors: processors(&line("/proc/cpuinfo")),
            disk_bytes: disk(root).0,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            kernel: line("/proc/sys/kernel/osrelease"),
            os_image: os_name(&line("/etc/os-release")),
        }
    }
}

/// Memory in bytes that is available now.
pub fn available_memory() -> i64 {
    memory("MemAvailable:")
}

fn memory(field: &str) -> i64 {
    let text = line("/proc/meminfo");
    let found = text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse::<i64>().ok());
    found.unwrap_or(0).saturating_mul(1024)
}

fn processors(cpuinfo: &str) -> i64 {
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    i64::try_from(count.max(1)).unwrap_or(1)
}

/// Size and free bytes of the file system that holds the path (or its nearest existing parent).
pub fn disk(path: &Path) -> (i64, i64) {
    let Some(existing) = path.ancestors().find(|path| path.exists()) else { return (0, 0) };
    let Ok(stat) = nix::sys::statvfs::statvfs(existing) else { return (0, 0) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.fragment_size())).unwrap_or(i64::MAX);
    (bytes(stat.blocks()), bytes(stat.blocks_available()))
}

/// Process ids in use and the limit of them.
pub fn processes() -> (i64, i64) {
    let limit = line("/proc/sys/kernel/pid_max").parse().unwrap_or(i64::MAX);
    let running = line("/proc/loadavg").split([' ', '/']).nth(4).and_then(|count| count.parse().ok()).unwrap_or(0);
    (running, limit)
}

/// Seconds that all processors together were busy since boot.
pub fn busy_seconds() -> f64 {
    let text = line("/proc/stat");
    let ticks: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total: f64 = ticks.iter().take(8).sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    // The kernel counts in hundredths of a second for user space on every architecture.
    (total - idle) / 100.0
}

fn os_name(os_release: &str) -> String {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    value.unwrap_or("Linux").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let machine = Machine::read(Path::new("/var/lib/does/not/exist"));
        assert!(machine.memory_bytes > 0 && machine.processors > 0 && machine.disk_bytes > 0);
        assert!(!machine.kernel.is_empty());
        assert!(available_memory() > 0 && available_memory() <= machine.memory_bytes);
        assert!(processes().0 > 0);
    }

    #[test]
    fn parses() {
        assert_eq!(processors("processor : 0\nx\nprocessor : 1\n"), 2);
        assert_eq!(os_name("ID=debian\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    }
}
