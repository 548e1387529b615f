//! Where cargo keeps the sources of a crate; from this tool's lock file; to the readers.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The folder of the crate's sources, fetched when it is not there yet.
pub fn crate_dir(name: &str) -> anyhow::Result<PathBuf> {
    let version = locked_version(name)?;
    let folder = format!("{name}-{version}");
    if let Some(found) = find(&folder)? {
        return Ok(found);
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo).args(["fetch", "--manifest-path"]).arg(manifest).status()?;
    anyhow::ensure!(status.success(), "cargo fetch failed");
    find(&folder)?.with_context(|| format!("no sources of {folder} in the cargo registry"))
}

fn locked_version(name: &str) -> anyhow::Result<String> {
    let lock = include_str!("../Cargo.lock");
    let at = lock.find(&format!("name = \"{name}\"\n")).with_context(|| format!("{name} is not locked"))?;
    let version = lock[at..].lines().nth(1).and_then(|l| l.split('"').nth(1)).context("a lock entry has a version")?;
    Ok(version.to_owned())
}

fn find(folder: &str) -> anyhow::Result<Option<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|h| h.join(".cargo"))).context("no home directory")?;
    let registries = home.join("registry/src");
    if !registries.is_dir() {
        return Ok(None);
    }
    for registry in std::fs::read_dir(registries)? {
        let path = registry?.path().join(folder);
        if path.is_dir() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// All Rust files below `dir`, sorted by path.
pub fn rust_files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
