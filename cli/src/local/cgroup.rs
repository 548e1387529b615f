//! The cluster's part of every mounted cgroup hierarchy: v2 for the datapath's socket hooks and for ending everything, v1 where the machine is hybrid.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

/// Where cgroup v2 is mounted.
pub(crate) fn unified() -> anyhow::Result<PathBuf> {
    mounts()?
        .into_iter()
        .find_map(|(kind, path)| (kind == "cgroup2").then_some(path))
        .context("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

/// Every hierarchy: file system type and mount point, from /proc/self/mountinfo.
fn mounts() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let kind = after.split(' ').next().filter(|k| k.starts_with("cgroup"))?;
            Some((kind.to_owned(), PathBuf::from(before.split(' ').nth(4)?)))
        })
        .collect())
}

/// Makes `path` (as `/skep-dev/dev-1/system`) in the v2 hierarchy and returns its directory.
pub(crate) fn ensure(path: &str) -> anyhow::Result<PathBuf> {
    let directory = below(&unified()?, path);
    fs::create_dir_all(&directory).with_context(|| format!("create cgroup {}", directory.display()))?;
    Ok(directory)
}

/// Moves the calling process into `path` of the v2 hierarchy.
pub(crate) fn join(path: &str) -> anyhow::Result<()> {
    let procs = ensure(path)?.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("write {}", procs.display()))
}

/// Ends every process below `path` and removes it from every hierarchy.
pub(crate) fn remove(path: &str) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    for (kind, mount) in mounts()? {
        let directory = below(&mount, path);
        if kind == "cgroup2" && directory.exists() {
            let kill = directory.join("cgroup.kill");
            fs::write(&kill, "1").with_context(|| format!("write {}", kill.display()))?;
        }
    }
    for (_, mount) in mounts()? {
        let directory = below(&mount, path);
        while let Err(error) = remove_tree(&directory) {
            if Instant::now() > end {
                bail!("cgroup {} cannot be removed: {error}", directory.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Children first; a cgroup directory's files go with it.
fn remove_tree(directory: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}
