//! The interface every namespace has. From [`crate::request`], when the runtime calls this binary as its plugin
//! `loopback`, as containerd before 2.0 does for every pod; to [`crate::veth`]. Nothing is kept and nothing to undo.

use std::fs::File;

use serde_json::{Value, json};

use crate::add::AddError;
use crate::netlink::Netlink;
use crate::request::{Request, Verb};
use crate::response::{Failure, Version};
use crate::veth;

/// Answers a verb; ADD brings `lo` up.
pub(crate) fn run(verb: Verb, request: &Request) -> Result<Option<Value>, Failure> {
    match verb {
        Verb::Add => {}
        Verb::Del | Verb::Check | Verb::Gc | Verb::Status => return Ok(None),
    }
    let path = request.netns()?;
    let netns = File::open(path).map_err(|source| AddError::Netns { path: path.clone(), source })?;
    let mut pod = veth::inside(&netns, Netlink::open)?;
    if let Some(device) = veth::find(&mut pod, "lo")? {
        veth::set_up(&mut pod, &device)?;
    }
    let version = request.network.version;
    let mut ips = [json!({"address": "127.0.0.1/8", "interface": 0}), json!({"address": "::1/128", "interface": 0})];
    if version < Version::V1_0_0 {
        ips[0]["version"] = "4".into();
        ips[1]["version"] = "6".into();
    }
    let sandbox = path.to_string_lossy();
    Ok(Some(json!({
        "cniVersion": version.name(),
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": sandbox}],
        "ips": ips,
        "dns": {},
    })))
}
