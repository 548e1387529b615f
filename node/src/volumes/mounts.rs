//! Directories, tmpfs and bind mounts; from [`volumes`](super); to the kernel. Performs IO.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{VolumeError, io};

/// Makes a directory with exactly this mode.
///
/// # Errors
/// The file system refused.
pub fn make_directory(path: &Path, mode: u32) -> Result<(), VolumeError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(io("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io("set mode of", path))
}

/// Mounts a tmpfs there, unless one is.
///
/// # Errors
/// The kernel refused.
pub fn tmpfs(path: &Path, size_bytes: Option<i64>, mode: u32) -> Result<(), VolumeError> {
    if is_mount_point(path) {
        return Ok(());
    }
    let size = size_bytes.filter(|size| *size > 0).map(|size| format!(",size={size}")).unwrap_or_default();
    let options = format!("mode={mode:o}{size}");
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|errno| io("mount tmpfs on", path)(errno.into()))
}

/// Bind mounts `source` on `target`.
///
/// # Errors
/// The kernel refused.
pub fn bind(source: &Path, target: &Path) -> Result<(), VolumeError> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(|errno| io("bind mount on", target)(errno.into()))
}

/// Whether something is mounted there.
pub fn is_mount_point(path: &Path) -> bool {
    mount_points().iter().any(|mounted| mounted == path)
}

fn mount_points() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = |line: &str| line.split(' ').nth(4).map(|path| PathBuf::from(unescape(path)));
    text.lines().filter_map(point).collect()
}

/// mountinfo writes space, tab, newline and backslash as octal escapes.
fn unescape(path: &str) -> String {
    let mut out = path.to_owned();
    for (escape, c) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(escape, c);
    }
    out
}

/// Unmounts everything at and below the path, deepest first.
///
/// # Errors
/// Something is in use.
pub fn unmount_below(path: &Path) -> Result<(), VolumeError> {
    let mut points: Vec<PathBuf> = mount_points().into_iter().filter(|point| point.starts_with(path)).collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    for point in points {
        match umount2(&point, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(nix::errno::Errno::EBUSY) => {
                umount2(&point, MntFlags::MNT_DETACH).map_err(|errno| io("unmount", &point)(errno.into()))?;
            }
            Err(errno) => return Err(io("unmount", &point)(errno.into())),
        }
    }
    Ok(())
}

/// Gives a tree to the pod's group: group-owned, group-writable, and directories pass their group on.
///
/// # Errors
/// The file system refused.
pub fn own_by_group(path: &Path, group: Option<i64>) -> Result<(), VolumeError> {
    let Some(group) = group.and_then(|group| u32::try_from(group).ok()) else { return Ok(()) };
    let metadata = fs::symlink_metadata(path).map_err(io("read", path))?;
    if metadata.file_type().is_symlink() {
        return std::os::unix::fs::lchown(path, None, Some(group)).map_err(io("set group of", path));
    }
    chown(path, None, Some(group)).map_err(io("set group of", path))?;
    let more = if metadata.is_dir() { 0o2770 } else { 0o660 };
    let mode = (metadata.mode() & 0o7777) | more;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io("set mode of", path))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(io("read", path))? {
            own_by_group(&entry.map_err(io("read", path))?.path(), Some(i64::from(group)))?;
        }
    }
    Ok(())
}
