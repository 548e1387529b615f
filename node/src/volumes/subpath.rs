//! subPath mounts: the named part of a volume, reached without following any link out of it.
//!
//! From [`pod_worker`](crate::pod_worker); to a bind mount that the runtime mounts on. Performs IO.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};

use super::{VolumeError, io, mounts};

/// Bind mounts `subpath` of the volume at `volume` on `target`. A directory that is not there is made.
///
/// # Errors
/// The path leads out of the volume, or the kernel refused.
pub fn prepare(volume: &Path, subpath: &str, target: &Path) -> Result<(), VolumeError> {
    if Path::new(subpath).is_absolute() || subpath.split('/').any(|part| part == "..") {
        return Err(VolumeError::Path(subpath.to_owned()));
    }
    let root: OwnedFd = File::open(volume).map_err(io("open", volume))?.into();
    let found = match open(&root, subpath) {
        Err(nix::errno::Errno::ENOENT) => make(&root, subpath).and_then(|()| open(&root, subpath)),
        other => other,
    };
    let found = found.map_err(|errno| io("open", &volume.join(subpath))(errno.into()))?;
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    mounts::unmount_below(target)?;
    if fs::metadata(&source).map_err(io("read", &volume.join(subpath)))?.is_dir() {
        mounts::make_directory(target, 0o750)?;
    } else {
        if let Some(parent) = target.parent() {
            mounts::make_directory(parent, 0o750)?;
        }
        File::create(target).map_err(io("create", target))?;
    }
    mounts::bind(Path::new(&source), target)
}

fn how(flags: OFlag) -> OpenHow {
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

fn open(root: &OwnedFd, path: &str) -> nix::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    openat2(root, path, how(OFlag::O_PATH))
}

/// Makes the directories of a path one by one, each opened inside the volume before the next is made.
fn make(root: &OwnedFd, path: &str) -> nix::Result<()> {
    let mut parent = openat2(root, ".", how(OFlag::O_PATH | OFlag::O_DIRECTORY))?;
    let mut walked = String::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}/{part}") };
        match mkdirat(&parent, part, Mode::from_bits_truncate(0o777)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        parent = openat2(root, walked.as_str(), how(OFlag::O_PATH | OFlag::O_DIRECTORY))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_makes_inside_only() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("escape")).unwrap();
        let fd: OwnedFd = File::open(root.path()).unwrap().into();
        make(&fd, "a/b").unwrap();
        assert!(root.path().join("a/b").is_dir());
        open(&fd, "a/b").unwrap();
        // The link is resolved inside the volume, where its target does not exist.
        assert_eq!(open(&fd, "escape").unwrap_err(), nix::errno::Errno::ENOENT);
        assert!(make(&fd, "escape/x").is_err());
        assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
        assert!(matches!(prepare(root.path(), "../x", Path::new("/nope")), Err(VolumeError::Path(_))));
        assert!(matches!(prepare(root.path(), "/etc", Path::new("/nope")), Err(VolumeError::Path(_))));
    }
}
