//! Every package inherits the workspace's lints: configuration that nobody inherits is decoration.

use anyhow::{Context as _, bail};

use super::dependencies;

pub(super) fn check() -> anyhow::Result<()> {
    let mut without = Vec::new();
    for package in dependencies::workspace_packages()? {
        let manifest = std::fs::read_to_string(&package.manifest)
            .with_context(|| format!("read {}", package.manifest.display()))?;
        let inherits =
            manifest.split_once("[lints]").is_some_and(|(_, rest)| rest.trim_start().starts_with("workspace = true"));
        if !inherits {
            without.push(package.name);
        }
    }
    if !without.is_empty() {
        bail!("no `[lints] workspace = true` in: {}", without.join(", "));
    }
    Ok(())
}
