//! Results in the version that was asked for, and the error codes of the specification. From every verb; to standard
//! output. The only place that knows codes.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::add::AddError;
use crate::address::AddressError;
use crate::check::CheckError;
use crate::netlink::NetlinkError;
use crate::pod_map::PodMapError;
use crate::request::RequestError;
use crate::status::StatusError;

/// A version of the specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V0_3_1,
    V0_4_0,
    #[default]
    V1_0_0,
    V1_1_0,
}

impl Version {
    const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// `None` when it is not supported.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == text)
    }

    /// All that are supported.
    pub(crate) fn names() -> Vec<&'static str> {
        Self::ALL.map(Self::name).to_vec()
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("version {text:?} is not supported")))
    }
}

/// What ADD made.
pub(crate) struct Added {
    /// What plugins before us made.
    pub(crate) previous: Option<Value>,
    /// Host-side device.
    pub(crate) device: String,
    pub(crate) device_mac: [u8; 6],
    /// The pod's interface.
    pub(crate) interface: String,
    pub(crate) mac: [u8; 6],
    pub(crate) netns: String,
    pub(crate) mtu: u32,
    /// Addresses with their gateways.
    pub(crate) addresses: Vec<(IpAddr, IpAddr)>,
}

impl Added {
    /// In the shape of `version`.
    pub(crate) fn render(&self, version: Version) -> Value {
        let mut result = self.previous.clone().filter(Value::is_object).unwrap_or_else(|| json!({}));
        let mut host = json!({"name": self.device, "mac": mac_text(self.device_mac)});
        let mut pod = json!({"name": self.interface, "mac": mac_text(self.mac), "sandbox": self.netns});
        if version >= Version::V1_1_0 {
            host["mtu"] = self.mtu.into();
            pod["mtu"] = self.mtu.into();
        }
        let before = append(&mut result, "interfaces", [host, pod]);
        let ips = self.addresses.iter().map(|(address, gateway)| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let mut ip = json!({
                "address": format!("{address}/{bits}"), "gateway": gateway.to_string(), "interface": before + 1,
            });
            if version < Version::V1_0_0 {
                ip["version"] = if address.is_ipv4() { "4" } else { "6" }.into();
            }
            ip
        });
        append(&mut result, "ips", ips);
        let routes = self.addresses.iter().map(|(_, gateway)| {
            let everything = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let mut route = json!({"dst": everything, "gw": gateway.to_string()});
            if version >= Version::V1_1_0 {
                route["mtu"] = self.mtu.into();
            }
            route
        });
        append(&mut result, "routes", routes);
        result["cniVersion"] = version.name().into();
        if result["dns"].is_null() {
            result["dns"] = json!({});
        }
        result
    }
}

/// Appends to a list of `object`; returns how many it had.
fn append(object: &mut Value, field: &str, values: impl IntoIterator<Item = Value>) -> usize {
    if !object[field].is_array() {
        object[field] = json!([]);
    }
    let Some(list) = object[field].as_array_mut() else { return 0 };
    let before = list.len();
    list.extend(values);
    before
}

/// `0a:58:…`.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The answer to VERSION.
pub(crate) fn versions(asked: Version) -> Value {
    json!({"cniVersion": asked.name(), "supportedVersions": Version::names()})
}

/// Anything a verb can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    PodMap(#[from] PodMapError),
    #[error(transparent)]
    Add(#[from] AddError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// A device, an address or a route is not as it was told: worth a new pod.
const DIFFERS: u32 = 100;
/// The kernel refused.
const KERNEL: u32 = 101;

const fn code(failure: &Failure) -> u32 {
    match failure {
        Failure::Request(error) => match error {
            RequestError::Incompatible { .. } => 1,
            RequestError::Unsupported { .. } => 2,
            RequestError::Missing { .. } | RequestError::Environment { .. } => 4,
            RequestError::Read(_) => 5,
            RequestError::Decode(_) => 6,
            RequestError::Field { .. } => 7,
        },
        Failure::Address(error) => match error {
            AddressError::File { .. } | AddressError::Damaged { .. } => 5,
            AddressError::NotOurs { .. } => 7,
            AddressError::Taken { .. } | AddressError::Exhausted { .. } => 11,
        },
        Failure::Netlink(_) => KERNEL,
        Failure::PodMap(error) => match error {
            PodMapError::NotPinned { .. } => 11,
            PodMapError::Map { .. } | PodMapError::Program { .. } | PodMapError::Link { .. } => KERNEL,
        },
        Failure::Add(error) => match error {
            AddError::Netns { .. } => 4,
            AddError::InterfaceExists { .. } => 7,
        },
        Failure::Check(_) => DIFFERS,
        Failure::Status(_) => 50,
    }
}

/// An error as the specification writes it.
pub(crate) fn error(version: Version, failure: &Failure) -> Value {
    let mut details = Vec::new();
    let mut cause = failure.source();
    while let Some(error) = cause {
        details.push(error.to_string());
        cause = error.source();
    }
    let mut message = failure.to_string();
    // Runtimes show `msg` alone in events; the cause is what helps there.
    for detail in &details {
        message.push_str(": ");
        message.push_str(detail);
    }
    json!({"cniVersion": version.name(), "code": code(failure), "msg": message, "details": details.join(": ")})
}

/// Writes an answer.
pub(crate) fn write(answer: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, answer)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests;
