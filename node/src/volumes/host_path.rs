//! hostPath volumes: checks and makes what the type demands; from [`volumes`](super); to the node's files. Performs IO.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::{VolumeError, io};

/// Makes sure that the path is what the type says, creating it where the type says so.
///
/// # Errors
/// It is something else, or cannot be created.
pub fn prepare(path: &Path, kind: &str) -> Result<(), VolumeError> {
    match kind {
        "DirectoryOrCreate" if !path.exists() => return fs::create_dir_all(path).map_err(io("create", path)),
        "FileOrCreate" if !path.exists() => {
            return fs::OpenOptions::new().create(true).append(true).open(path).map(drop).map_err(io("create", path));
        }
        _ => {}
    }
    let file_type = fs::metadata(path).ok().map(|metadata| metadata.file_type());
    let is = |check: fn(&fs::FileType) -> bool| file_type.as_ref().is_some_and(check);
    let (fits, wanted) = match kind {
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(|kind| kind.is_socket()), "a socket file"),
        "CharDevice" => (is(|kind| kind.is_char_device()), "a character device"),
        "BlockDevice" => (is(|kind| kind.is_block_device()), "a block device"),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(VolumeError::HostPath { path: path.display().to_string(), wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        assert!(prepare(&path, "Directory").is_err());
        prepare(&path, "").unwrap();
        prepare(&path, "DirectoryOrCreate").unwrap();
        prepare(&path, "Directory").unwrap();
        assert!(prepare(&path, "File").unwrap_err().to_string().ends_with("is not a file"));
        prepare(&path.join("f"), "FileOrCreate").unwrap();
        prepare(&path.join("f"), "File").unwrap();
        assert!(prepare(&path.join("f"), "Socket").is_err());
        prepare(Path::new("/dev/null"), "CharDevice").unwrap();
    }
}
