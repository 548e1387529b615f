//! Writes the files of a volume so that a reader sees either all old or all new ones.
//!
//! A dated directory per version, and `..data` pointing to the current one. From [`volumes`](super); to the volume's directory.
//! Performs IO.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{VolumeError, io, mounts};

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// Files by path below the volume.
pub type Files = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Brings the directory to hold exactly these files. Nothing is touched when it does already.
///
/// # Errors
/// A path leads out of the volume, or the file system refused.
pub fn write(root: &Path, files: &Files, group: Option<i64>) -> Result<(), VolumeError> {
    for path in files.keys() {
        check(path)?;
    }
    let current = fs::read_link(root.join(DATA)).ok().map(|name| root.join(name));
    if current.as_ref().is_some_and(|current| is_same(current, files)) {
        return Ok(());
    }
    let version = root.join(format!("..{}", jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%9f")));
    mounts::make_directory(&version, 0o755)?;
    for (path, file) in files {
        let target = version.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(io("create", parent))?;
        }
        fs::write(&target, &file.bytes).map_err(io("write", &target))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode)).map_err(io("set mode of", &target))?;
    }
    mounts::own_by_group(&version, group)?;
    let new = root.join(DATA_NEW);
    remove_if_there(&new)?;
    symlink(version.file_name().unwrap_or_default(), &new).map_err(io("link", &new))?;
    fs::rename(&new, root.join(DATA)).map_err(io("rename", &new))?;
    link_names(root, files)?;
    if let Some(old) = current
        && old != version
    {
        fs::remove_dir_all(&old).map_err(io("remove", &old))?;
    }
    Ok(())
}

/// Makes a link per top-level name, and removes links of names that are gone.
fn link_names(root: &Path, files: &Files) -> Result<(), VolumeError> {
    let names: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &names {
        let link = root.join(name);
        let target = PathBuf::from(DATA).join(name);
        if fs::read_link(&link).ok().as_deref() != Some(&target) {
            remove_if_there(&link)?;
            symlink(&target, &link).map_err(io("link", &link))?;
        }
    }
    for entry in fs::read_dir(root).map_err(io("read", root))? {
        let entry = entry.map_err(io("read", root))?;
        let name = entry.file_name();
        let ours = fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(DATA));
        if ours && !names.contains(name.to_string_lossy().as_ref()) {
            fs::remove_file(entry.path()).map_err(io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn check(path: &str) -> Result<(), VolumeError> {
    let bad =
        path.is_empty() || path.starts_with('/') || path.starts_with("..") || path.split('/').any(|part| part == "..");
    if bad { Err(VolumeError::Path(path.to_owned())) } else { Ok(()) }
}

fn is_same(directory: &Path, files: &Files) -> bool {
    let mut found = BTreeSet::new();
    if list(directory, directory, &mut found).is_err() || !found.iter().eq(files.keys()) {
        return false;
    }
    files.iter().all(|(path, file)| {
        let path = directory.join(path);
        let mode = fs::metadata(&path).map(|metadata| metadata.mode() & 0o777).unwrap_or_default();
        // A group's rights may have been added.
        mode & file.mode & 0o777 == file.mode & 0o777 && fs::read(&path).is_ok_and(|bytes| bytes == file.bytes)
    })
}

fn list(root: &Path, directory: &Path, found: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.insert(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter()
            .map(|(path, text)| ((*path).to_owned(), File { bytes: text.as_bytes().to_vec(), mode: 0o644 }))
            .collect()
    }

    #[test]
    fn swaps_versions_atomically_and_cleans_up() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_to_string(root.join("d/b")).unwrap(), "2");
        let first = fs::read_link(root.join(DATA)).unwrap();
        write(root, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_link(root.join(DATA)).unwrap(), first, "unchanged files are not written again");
        write(root, &files(&[("a", "new"), ("c", "3")]), None).unwrap();
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "new");
        assert!(!root.join("d").exists() && fs::symlink_metadata(root.join("d")).is_err());
        assert!(!root.join(first).exists());
        let mut names: Vec<_> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), 4, "{names:?}");
        write(root, &Files::new(), None).unwrap();
        assert!(fs::symlink_metadata(root.join("a")).is_err());
    }

    #[test]
    fn refuses_paths_that_lead_out() {
        let root = tempfile::tempdir().unwrap();
        for path in ["/etc/x", "../x", "a/../../x", "", "..data"] {
            assert!(write(root.path(), &files(&[(path, "")]), None).is_err(), "{path}");
        }
    }
}
