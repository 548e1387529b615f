//! The network configuration which makes the container runtime call our plugin. From [`crate::agent`], when the node
//! can really serve pods; to the CNI configuration directory.
//!
//! It appears whole or not at all, and sorts before other networks' files. It stays when the agent ends: the plugin
//! works without it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde_json::{Value, json};
use skep_proxy_ebpf::pins::PinDirectory;

use crate::config::Cni;

/// File name in the CNI configuration directory.
pub const FILE: &str = "10-skep.conflist";

/// The configuration could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct ConflistError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What it says.
#[must_use]
pub fn content(cni: &Cni, pins: &PinDirectory, pod_cidrs: &[IpNetwork], mtu: u32) -> Value {
    json!({
        "cniVersion": cni.version,
        "name": "skep",
        "plugins": [{
            "type": "skep-cni",
            "pinDir": pins.root(),
            "stateDir": cni.state_dir,
            "podCIDRs": pod_cidrs.iter().map(IpNetwork::to_string).collect::<Vec<_>>(),
            "mtu": mtu,
            "capabilities": {"portMappings": true, "ips": true, "mac": true},
        }],
    })
}

/// Writes it unless it is there already; says whether it wrote.
///
/// # Errors
/// When a file cannot be written.
pub fn publish(cni: &Cni, content: &Value) -> Result<bool, ConflistError> {
    let path = cni.conf_dir.join(FILE);
    let failed = |action: &'static str, path: &PathBuf| {
        let path = path.clone();
        move |source| ConflistError { action, path, source }
    };
    let current = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    if current.as_ref() == Some(content) {
        return Ok(false);
    }
    fs::create_dir_all(&cni.conf_dir).map_err(failed("create", &cni.conf_dir))?;
    // Runtimes read what ends in .conf, .conflist or .json.
    let beside = cni.conf_dir.join(".10-skep.new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(format!("{content:#}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(failed("write", &path))?;
    Ok(true)
}
