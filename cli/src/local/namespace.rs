//! Network namespaces that outlive their makers: a file under /run/netns, as `ip netns` does it.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Makes the namespace unless it is there.
pub(crate) fn ensure(path: &Path) -> anyhow::Result<()> {
    if is_mounted(path) {
        return Ok(());
    }
    let directory = path.parent().context("a namespace lies in a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    // A thread of its own: a namespace belongs to a thread, and this one ends with it.
    let target = path.to_owned();
    let made = std::thread::spawn(move || -> nix::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(Some("/proc/thread-self/ns/net"), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
    });
    made.join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .with_context(|| format!("make network namespace {}", path.display()))
}

/// Removes the namespace; what runs in it keeps it alive until it ends.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    while is_mounted(path) {
        umount2(path, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", path.display()))?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Moves the calling thread into the namespace.
pub(crate) fn enter(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter {}", path.display()))
}

/// Runs async work inside the namespace, on a thread and runtime of its own.
pub(crate) fn run_in<T, F>(path: &Path, work: impl FnOnce() -> F + Send) -> anyhow::Result<T>
where
    T: Send,
    F: Future<Output = anyhow::Result<T>>,
{
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                enter(path)?;
                tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A namespace file without a mount on it is an empty leftover.
fn is_mounted(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|s| s.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}
