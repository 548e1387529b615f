//! Who may depend on whom, as docs/architecture.md says ("Dependencies"): the table there is the one that is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::shell;

/// A package of this workspace and what it names as normal or build dependencies (tests may use anything).
pub(super) struct Package {
    pub(super) name: String,
    pub(super) manifest: PathBuf,
    pub(super) dependencies: BTreeSet<String>,
}

pub(super) fn check() -> anyhow::Result<()> {
    let table = table()?;
    let packages = workspace_packages()?;
    let ours: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let Some(allowed) = table.get(&package.name) else {
            wrong.push(format!("{} has no row in the table of docs/architecture.md", package.name));
            continue;
        };
        if allowed.contains("*") {
            continue;
        }
        for dependency in package.dependencies.iter().filter(|d| ours.contains(d.as_str())) {
            if !allowed.contains(dependency) {
                wrong.push(format!("{} must not depend on {dependency}", package.name));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}\n(a new edge needs a decision note and a changed row in docs/architecture.md)", wrong.join("\n"));
    }
    Ok(())
}

/// Rows `| package | may use | never, because |` below the heading "Dependencies".
fn table() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let file = shell::root().join("docs/architecture.md");
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let section = text
        .split("\n## ")
        .find(|s| s.starts_with("Dependencies"))
        .context("docs/architecture.md has no section Dependencies")?;
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [packages, may_use, ..] = cells.as_slice() else {
            bail!("docs/architecture.md: a row of the dependency table has fewer than two cells: {line}");
        };
        for package in quoted(packages) {
            rows.insert(package.to_owned(), quoted(may_use).map(str::to_owned).collect());
        }
    }
    Ok(rows)
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The members of this workspace.
pub(super) fn workspace_packages() -> anyhow::Result<Vec<Package>> {
    let text = shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    metadata["packages"]
        .as_array()
        .context("cargo metadata: no packages")?
        .iter()
        .map(|package| {
            Ok(Package {
                name: package["name"].as_str().context("cargo metadata: package without a name")?.to_owned(),
                manifest: package["manifest_path"].as_str().context("cargo metadata: no manifest_path")?.into(),
                dependencies: package["dependencies"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|d| d["kind"] != "dev")
                    .filter_map(|d| d["name"].as_str().map(str::to_owned))
                    .collect(),
            })
        })
        .collect()
}
