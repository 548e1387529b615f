//! Holds a pod, or a template, against a level. From [`super`]; to its list of violations, in upstream's order. Pure.

mod baseline;
mod restricted;

use serde_json::Value;

use super::policy::{Level, LevelVersion};
use crate::json_field::{items, text};

/// One check that a pod fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check in a few words.
    pub reason: String,
    /// Which parts of the pod fail it and what they must do.
    pub detail: String,
}

/// What is wrong with the pod at that level; the stricter form of a check replaces the lenient one.
#[must_use]
pub fn violations(level: LevelVersion, pod: &Value) -> Vec<Violation> {
    let spec = PodSpec { pod, level };
    let strict = level.level == Level::Restricted;
    let mut found = Vec::new();
    if level.level >= Level::Baseline {
        found.extend(spec.app_armor_profile());
        if !strict {
            found.extend(spec.added_capabilities());
        }
        found.extend(spec.host_namespaces());
        if !strict {
            found.extend(spec.host_path_volumes());
        }
        found.extend(spec.host_ports());
        found.extend(spec.host_probes());
        found.extend(spec.privileged());
        found.extend(spec.proc_mount());
        found.extend(spec.se_linux_options());
        if !strict {
            found.extend(spec.unconfined_seccomp());
        }
        found.extend(spec.sysctls());
        found.extend(spec.windows_host_process());
    }
    if strict {
        found.extend(spec.privilege_escalation());
        found.extend(spec.capabilities());
        found.extend(spec.volume_types());
        found.extend(spec.run_as_non_root());
        found.extend(spec.run_as_user());
        found.extend(spec.seccomp());
    }
    found
}

/// A pod with the level it is held against.
#[derive(Clone, Copy)]
struct PodSpec<'a> {
    pod: &'a Value,
    level: LevelVersion,
}

impl<'a> PodSpec<'a> {
    /// Every container: init, app, ephemeral.
    fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"]
            .into_iter()
            .flat_map(move |pointer| items(self.pod, pointer))
    }

    /// Names of the containers for which `bad` holds.
    fn names_where(self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| bad(container)).map(|container| text(container, "/name")).collect()
    }

    /// The pod's security context field at `pointer` below `securityContext`.
    fn of_pod(self, field: &str) -> Option<&'a Value> {
        self.pod.pointer(&format!("/spec/securityContext/{field}"))
    }
}

/// A container's security context field.
fn of_container<'a>(container: &'a Value, field: &str) -> Option<&'a Value> {
    container.pointer(&format!("/securityContext/{field}"))
}

fn violation(reason: &str, detail: impl Into<String>) -> Option<Violation> {
    Some(Violation { reason: reason.to_owned(), detail: detail.into() })
}

/// `"a", "b"`
fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

/// `container "a"` or `containers "a", "b"`
fn containers_named(names: &[&str]) -> String {
    format!("{} {}", plural("container", names.len()), quoted(names))
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// `pod and containers "a", "b"`: who sets something, pod and containers.
fn setters(pod: bool, containers: &[&str]) -> String {
    match (pod, containers.is_empty()) {
        (true, true) => "pod".to_owned(),
        (true, false) => format!("pod and {}", containers_named(containers)),
        (false, _) => containers_named(containers),
    }
}

/// Sorted, each once.
fn distinct<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut values: Vec<&str> = values.into_iter().collect();
    values.sort_unstable();
    values.dedup();
    values
}
