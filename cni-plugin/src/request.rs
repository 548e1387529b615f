//! Environment and standard input → what is asked. From the container runtime; to every verb. The only reader of both.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

use crate::attachment::Attachment;
use crate::response::Version;

/// Most of a network configuration that is read; a `prevResult` is small.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// What the runtime wants.
pub(crate) enum Call {
    /// `VERSION`.
    Versions { asked: Option<Version> },
    /// A verb on a network.
    Network { verb: Verb, request: Box<Request> },
}

/// The verbs that act on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
}

/// Everything a verb is told.
pub(crate) struct Request {
    /// The configuration.
    pub(crate) network: Network,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`; verbs on one attachment always have it.
    attachment: Option<Attachment>,
    /// `CNI_NETNS`; DEL may lack it.
    netns: Option<PathBuf>,
    /// `namespace/name` of the pod, from `CNI_ARGS`.
    pub(crate) pod: Option<String>,
}

/// The network configuration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Network {
    /// `cniVersion`.
    #[serde(rename = "cniVersion")]
    pub(crate) version: Version,
    /// The network's name.
    #[serde(default)]
    pub(crate) name: String,
    /// `skep-cni`, or `loopback` for the interface every namespace has.
    #[serde(default, rename = "type")]
    plugin: String,
    /// Where the agent pins maps and programs.
    #[serde(default)]
    pub(crate) pin_dir: PathBuf,
    /// Where reservations are kept; must survive a restart of the machine.
    #[serde(default)]
    pub(crate) state_dir: PathBuf,
    /// This node's pod ranges, one per family.
    #[serde(default, rename = "podCIDRs")]
    pub(crate) pod_cidrs: Vec<IpNetwork>,
    /// MTU of pods' interfaces and routes.
    #[serde(default)]
    pub(crate) mtu: u32,
    /// How long a released address rests, so that nothing that still talks to its last pod meets the next one.
    #[serde(default = "default_quarantine")]
    pub(crate) quarantine_seconds: u64,
    /// What the runtime adds for declared capabilities.
    #[serde(default)]
    pub(crate) runtime_config: RuntimeConfig,
    /// The result so far: of plugins before us (ADD), of our ADD (CHECK, DEL).
    pub(crate) prev_result: Option<Value>,
    /// GC: what is to stay.
    #[serde(default, rename = "cni.dev/valid-attachments")]
    pub(crate) valid_attachments: Option<Vec<ValidAttachment>>,
}

const fn default_quarantine() -> u64 {
    30
}

/// `runtimeConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeConfig {
    #[serde(default)]
    port_mappings: Vec<PortMapping>,
    #[serde(default)]
    bandwidth: Option<Value>,
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    mac: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortMapping {
    #[serde(default)]
    host_port: i32,
}

/// One element of `cni.dev/valid-attachments`.
#[derive(Debug, Deserialize)]
pub(crate) struct ValidAttachment {
    #[serde(rename = "containerID")]
    pub(crate) container: String,
    #[serde(rename = "ifname")]
    pub(crate) interface: String,
}

/// Why a call cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("environment variable {name} is missing")]
    Missing { name: &'static str },
    #[error("environment variable {name} is not valid: {value:?} ({wanted})")]
    Environment { name: &'static str, value: String, wanted: &'static str },
    #[error("read the network configuration from standard input")]
    Read(#[source] io::Error),
    #[error("the network configuration is not valid JSON or lacks a field")]
    Decode(#[source] serde_json::Error),
    #[error("cniVersion {asked:?} is not supported; supported are {}", Version::names().join(", "))]
    Incompatible { asked: String },
    #[error("{field} of the network configuration: {reason}")]
    Field { field: &'static str, reason: String },
    #[error("{field} is not supported: {reason}")]
    Unsupported { field: &'static str, reason: &'static str },
}

/// A call that was not understood, and the version to answer in as far as it is known.
pub(crate) struct Rejected {
    pub(crate) version: Option<Version>,
    pub(crate) error: RequestError,
}

impl Call {
    /// Reads the environment and standard input.
    pub(crate) fn receive() -> Result<Self, Rejected> {
        let mut input = Vec::new();
        let read = io::stdin().lock().take(MAX_CONFIG_BYTES).read_to_end(&mut input);
        read.map_err(|error| Rejected { version: None, error: RequestError::Read(error) })?;
        Self::parse(&std::env::vars().collect(), &input)
    }

    fn parse(environment: &HashMap<String, String>, input: &[u8]) -> Result<Self, Rejected> {
        let mut version = None;
        Self::parse_into(&mut version, environment, input).map_err(|error| Rejected { version, error })
    }

    fn parse_into(
        version: &mut Option<Version>,
        environment: &HashMap<String, String>,
        input: &[u8],
    ) -> Result<Self, RequestError> {
        let command = variable(environment, "CNI_COMMAND")?;
        let verb = match command {
            "ADD" => Verb::Add,
            "DEL" => Verb::Del,
            "CHECK" => Verb::Check,
            "GC" => Verb::Gc,
            "STATUS" => Verb::Status,
            "VERSION" => {
                let asked = serde_json::from_slice::<Value>(input).ok();
                let asked = asked.as_ref().and_then(|v| v["cniVersion"].as_str()).and_then(Version::parse);
                return Ok(Self::Versions { asked });
            }
            other => {
                let wanted = "one of ADD, DEL, CHECK, GC, STATUS, VERSION";
                return Err(RequestError::Environment { name: "CNI_COMMAND", value: other.to_owned(), wanted });
            }
        };
        let value: Value = serde_json::from_slice(input).map_err(RequestError::Decode)?;
        let asked = value["cniVersion"].as_str().unwrap_or_default();
        let asked = Version::parse(asked).ok_or_else(|| RequestError::Incompatible { asked: asked.to_owned() })?;
        *version = Some(asked);
        if matches!(verb, Verb::Gc | Verb::Status) && asked < Version::V1_1_0 {
            let reason = "this verb exists since 1.1.0".to_owned();
            return Err(RequestError::Field { field: "cniVersion", reason });
        }
        if verb == Verb::Check && asked < Version::V0_4_0 {
            return Err(RequestError::Field { field: "cniVersion", reason: "CHECK exists since 0.4.0".to_owned() });
        }
        let network: Network = serde_json::from_value(value).map_err(RequestError::Decode)?;
        network.validate(verb)?;
        let attachment = match verb {
            Verb::Add | Verb::Del | Verb::Check => Some(attachment(environment)?),
            Verb::Gc | Verb::Status => None,
        };
        let netns = environment.get("CNI_NETNS").filter(|path| !path.is_empty()).map(PathBuf::from);
        if netns.is_none() && matches!(verb, Verb::Add | Verb::Check) {
            return Err(RequestError::Missing { name: "CNI_NETNS" });
        }
        let pod = pod_of(environment.get("CNI_ARGS").map_or("", String::as_str));
        Ok(Self::Network { verb, request: Box::new(Request { network, attachment, netns, pod }) })
    }
}

impl Request {
    /// The attachment of ADD, DEL and CHECK.
    pub(crate) fn attachment(&self) -> Result<&Attachment, RequestError> {
        self.attachment.as_ref().ok_or(RequestError::Missing { name: "CNI_CONTAINERID" })
    }

    /// The namespace of ADD and CHECK.
    pub(crate) fn netns(&self) -> Result<&PathBuf, RequestError> {
        self.netns.as_ref().ok_or(RequestError::Missing { name: "CNI_NETNS" })
    }
}

impl Network {
    /// Whether only the loopback interface is to be brought up, as runtimes ask of a plugin of that name.
    pub(crate) fn is_loopback(&self) -> bool {
        self.plugin == "loopback"
    }

    /// DEL and GC take almost anything: what was made under an older configuration must go.
    fn validate(&self, verb: Verb) -> Result<(), RequestError> {
        let field = |field, reason: &str| RequestError::Field { field, reason: reason.to_owned() };
        if self.is_loopback() {
            return Ok(());
        }
        if !is_name(&self.name) {
            return Err(field(
                "name",
                "must start with a letter or digit and hold only letters, digits, '_', '.', '-'",
            ));
        }
        if !self.state_dir.is_absolute() {
            return Err(field("stateDir", "must be an absolute path"));
        }
        if !self.pin_dir.is_absolute() {
            return Err(field("pinDir", "must be an absolute path"));
        }
        match verb {
            Verb::Del | Verb::Gc => return Ok(()),
            Verb::Add | Verb::Check | Verb::Status => {}
        }
        if self.pod_cidrs.is_empty() {
            return Err(field("podCIDRs", "must name at least one range"));
        }
        if let Some(small) = self.pod_cidrs.iter().find(|c| c.prefix() > if c.is_ipv4() { 30 } else { 126 }) {
            return Err(field("podCIDRs", &format!("{small} is too small")));
        }
        // IPv6 does not work below 1280; 65535 is the most an IPv4 packet has.
        if !(1280..=65_535).contains(&self.mtu) {
            return Err(field("mtu", &format!("{} is not between 1280 and 65535", self.mtu)));
        }
        if verb != Verb::Add {
            return Ok(());
        }
        if self.runtime_config.port_mappings.iter().any(|mapping| mapping.host_port > 0) {
            let reason = "the datapath does not serve host ports yet; use a Service of type NodePort";
            return Err(RequestError::Unsupported { field: "runtimeConfig.portMappings", reason });
        }
        if self.runtime_config.bandwidth.as_ref().is_some_and(|b| b.as_object().is_some_and(|o| !o.is_empty())) {
            let reason = "the datapath does not shape traffic yet; remove the bandwidth annotations";
            return Err(RequestError::Unsupported { field: "runtimeConfig.bandwidth", reason });
        }
        self.requested_ips()?;
        self.requested_mac()?;
        Ok(())
    }

    /// Addresses the runtime wants, capability `ips`: each with or without a prefix length.
    pub(crate) fn requested_ips(&self) -> Result<Vec<std::net::IpAddr>, RequestError> {
        let parse = |text: &String| {
            let address = text.split_once('/').map_or(text.as_str(), |(address, _)| address);
            let reason = || format!("{text:?} is not an address");
            address.parse().map_err(|_error| RequestError::Field { field: "runtimeConfig.ips", reason: reason() })
        };
        self.runtime_config.ips.iter().map(parse).collect()
    }

    /// The hardware address the runtime wants, capability `mac`.
    pub(crate) fn requested_mac(&self) -> Result<Option<[u8; 6]>, RequestError> {
        let Some(text) = self.runtime_config.mac.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let wrong = || RequestError::Field {
            field: "runtimeConfig.mac",
            reason: format!("{text:?} is not the address of one device, such as 0a:58:0a:f4:00:02"),
        };
        let bytes: Result<Vec<u8>, _> = text.split([':', '-']).map(|part| u8::from_str_radix(part, 16)).collect();
        let mac: [u8; 6] = bytes.map_err(|_error| wrong())?.try_into().map_err(|_bytes| wrong())?;
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err(wrong());
        }
        Ok(Some(mac))
    }
}

fn variable<'a>(environment: &'a HashMap<String, String>, name: &'static str) -> Result<&'a str, RequestError> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or(RequestError::Missing { name })
}

fn attachment(environment: &HashMap<String, String>) -> Result<Attachment, RequestError> {
    let container = variable(environment, "CNI_CONTAINERID")?;
    if !is_name(container) {
        let wanted = "must start with a letter or digit and hold only letters, digits, '_', '.', '-'";
        return Err(RequestError::Environment { name: "CNI_CONTAINERID", value: container.to_owned(), wanted });
    }
    let interface = variable(environment, "CNI_IFNAME")?;
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    if interface.len() > 15 || interface == "." || interface == ".." || interface.contains(forbidden) {
        let wanted = "at most 15 bytes, not '.' or '..', without '/', ':' and spaces";
        return Err(RequestError::Environment { name: "CNI_IFNAME", value: interface.to_owned(), wanted });
    }
    Ok(Attachment { container: container.to_owned(), interface: interface.to_owned() })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// `K8S_POD_NAMESPACE=…;K8S_POD_NAME=…` → `namespace/name`.
fn pod_of(args: &str) -> Option<String> {
    let value = |key| args.split(';').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v);
    Some(format!("{}/{}", value("K8S_POD_NAMESPACE")?, value("K8S_POD_NAME")?))
}

#[cfg(test)]
mod tests;
