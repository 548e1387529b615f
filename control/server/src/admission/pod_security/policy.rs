//! Which pod security levels a namespace asks for. From its labels; to the checks. Pure.

use std::fmt;

use serde_json::Value;
use skep_api::field::{FieldError, Path};

use crate::json_field::pairs;

/// Version whose checks `latest` means.
const LATEST: u32 = 34;
const PREFIX: &str = "pod-security.kubernetes.io/";

/// A pod security standard, from lenient to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything goes.
    #[default]
    Privileged,
    /// No known ways to gain privileges.
    Baseline,
    /// Best practice of hardening.
    Restricted,
}

/// A level as of a Kubernetes minor version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// The minor version of Kubernetes 1; none for `latest`.
    pub version: Option<u32>,
}

impl LevelVersion {
    /// Whether checks added in minor version `minor` apply.
    #[must_use]
    pub fn has(self, minor: u32) -> bool {
        self.version.unwrap_or(LATEST) >= minor
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Some(minor) => write!(f, "{level}:v1.{minor}"),
            None => write!(f, "{level}:latest"),
        }
    }
}

/// What a namespace enforces and what it only warns about. (Its audit level ends in the audit log, which has its own reader.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Pods that break it are refused.
    pub enforce: LevelVersion,
    /// Pods and workloads that break it are warned about.
    pub warn: LevelVersion,
}

impl Policy {
    /// Reads a namespace's labels. A level that cannot be read counts as restricted, a version as latest, so that mistakes fail safe.
    #[must_use]
    pub fn of(namespace: &Value) -> Self {
        let label = |name: &str| {
            let found = pairs(namespace, "/metadata/labels").find(|(key, _)| key.strip_prefix(PREFIX) == Some(name));
            found.map(|(_, value)| value)
        };
        let mode = |mode: &str| LevelVersion {
            level: label(mode).map_or(Level::Privileged, |text| parse_level(text).unwrap_or(Level::Restricted)),
            version: label(&format!("{mode}-version")).and_then(|text| parse_version(text).flatten()),
        };
        Self { enforce: mode("enforce"), warn: mode("warn") }
    }
}

/// Errors of the labels, in order of their keys.
#[must_use]
pub fn label_errors(namespace: &Value) -> Vec<FieldError> {
    let labels = Path::new("metadata").child("labels");
    let mut errors = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        for (key, value) in pairs(namespace, "/metadata/labels") {
            let path = labels.key(key);
            match key.strip_prefix(PREFIX).and_then(|name| name.strip_prefix(mode)) {
                Some("") if parse_level(value).is_none() => {
                    errors.push(FieldError::invalid_text(
                        &path,
                        value,
                        "must be one of privileged, baseline, restricted",
                    ));
                }
                Some("-version") if parse_version(value).is_none() => {
                    errors.push(FieldError::invalid_text(&path, value, "must be \"latest\" or \"v1.x\""));
                }
                Some(_) | None => {}
            }
        }
    }
    errors
}

fn parse_level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

/// The outer none: not readable; the inner: `latest`.
fn parse_version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let canonical = minor == "0" || !minor.starts_with(['0', '+']);
    minor.parse().ok().filter(|_| canonical).map(Some)
}
