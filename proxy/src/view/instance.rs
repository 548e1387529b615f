//! Which node of this machine is looked at: several may live here, each with a pin directory. From the command line;
//! to [`super::View`].

use std::fs;
use std::path::{Path, PathBuf};

use skep_proxy_ebpf::pins::{DEFAULT_PIN_DIRECTORY, PinDirectory};

use super::ViewError;
use crate::names::{self, Names};

/// A node of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name, or that of its pin directory when the agent never wrote it.
    pub node: String,
    /// Where its maps are pinned.
    pub pins: PinDirectory,
}

/// Every node of this machine, by name.
#[must_use]
pub fn all(view_dir: &Path) -> Vec<Instance> {
    let usual = Path::new(DEFAULT_PIN_DIRECTORY);
    let Some((parent, prefix)) = usual.parent().zip(usual.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let pins = entries.filter(is_ours).map(PinDirectory::new).filter(|pins| pins.maps().is_dir());
    let mut instances: Vec<Instance> = pins.map(|pins| instance(pins, view_dir)).collect();
    instances.sort_by(|a, b| a.node.cmp(&b.node));
    instances
}

fn instance(pins: PinDirectory, view_dir: &Path) -> Instance {
    let written = Names::read(&names::path(view_dir, &pins)).map(|names| names.node).unwrap_or_default();
    let directory = || pins.root().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A directory is called skep-<node>, unless the machine is one node.
    let plain = || directory().trim_start_matches("skep-").to_owned();
    Instance { node: if written.is_empty() { plain() } else { written }, pins }
}

/// The node to be looked at: by pin directory, by name, or the only one.
///
/// Else the first, with the names of the others. `cluster` leaves only the nodes of that local cluster, which are
/// called `<cluster>-<number>`.
///
/// # Errors
/// [`ViewError::NoInstance`].
pub fn choose(
    pin_dir: Option<PathBuf>,
    node: Option<&str>,
    cluster: Option<&str>,
    view_dir: &Path,
) -> Result<(Instance, Vec<String>), ViewError> {
    if let Some(path) = pin_dir {
        return Ok((instance(PinDirectory::new(path), view_dir), Vec::new()));
    }
    let is_of = |node: &str, cluster: &str| node.strip_prefix(cluster).is_some_and(|rest| rest.starts_with('-'));
    let mut found = all(view_dir);
    found.retain(|instance| cluster.is_none_or(|cluster| is_of(&instance.node, cluster)));
    let nodes = || found.iter().map(|instance| instance.node.as_str()).collect::<Vec<_>>().join(", ");
    if found.is_empty() {
        let of = cluster.map(|cluster| format!(" of cluster {cluster}")).unwrap_or_default();
        let text = format!("no agent{of} has run since this machine started (nothing is pinned), or you are not root");
        return Err(ViewError::NoInstance(text));
    }
    let at = match node {
        Some(node) => found.iter().position(|instance| instance.node == node),
        None => Some(0),
    };
    let Some(at) = at else {
        return Err(ViewError::NoInstance(format!(
            "no node {} on this machine; there is {}",
            node.unwrap_or_default(),
            nodes()
        )));
    };
    let chosen = found.swap_remove(at);
    let mut others: Vec<String> = found.into_iter().map(|instance| instance.node).collect();
    others.sort();
    Ok((chosen, if node.is_some() { Vec::new() } else { others }))
}
