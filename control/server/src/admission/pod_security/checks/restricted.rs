//! The checks of the restricted level. From [`super::violations`]. Pure.

use serde_json::Value;

use super::{PodSpec, Violation, containers_named, distinct, of_container, plural, quoted, setters, violation};
use crate::json_field::{flag, items, number, present, text, texts};

/// Volume sources that reach nothing outside the pod but API objects and claims.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

impl PodSpec<'_> {
    /// Linux-only checks do not hold for pods that say they are Windows.
    fn is_windows(self) -> bool {
        self.level.has(25) && text(self.pod, "/spec/os/name") == "windows"
    }

    pub(super) fn privilege_escalation(self) -> Option<Violation> {
        let names = self.names_where(|c| flag(c, "/securityContext/allowPrivilegeEscalation") != Some(false));
        if self.is_windows() || names.is_empty() {
            return None;
        }
        let who = containers_named(&names);
        violation(
            "allowPrivilegeEscalation != false",
            format!("{who} must set securityContext.allowPrivilegeEscalation=false"),
        )
    }

    pub(super) fn capabilities(self) -> Option<Violation> {
        if self.is_windows() {
            return None;
        }
        let keeps = self.names_where(|c| !texts(c, "/securityContext/capabilities/drop").contains(&"ALL"));
        let added = |container: &Value| -> Vec<String> {
            let added = texts(container, "/securityContext/capabilities/add").into_iter();
            added.filter(|capability| *capability != "NET_BIND_SERVICE").map(str::to_owned).collect()
        };
        let adds = self.names_where(|container| !added(container).is_empty());
        let mut details = Vec::new();
        if !keeps.is_empty() {
            details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers_named(&keeps)));
        }
        if !adds.is_empty() {
            let all: Vec<String> = self.containers().flat_map(added).collect();
            let all = quoted(&distinct(all.iter().map(String::as_str)));
            let who = containers_named(&adds);
            details.push(format!("{who} must not include {all} in securityContext.capabilities.add"));
        }
        if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
    }

    pub(super) fn volume_types(self) -> Option<Violation> {
        let source = |volume: &Value| -> Option<String> {
            let mut sources = volume.as_object()?.keys().filter(|key| *key != "name");
            sources.find(|key| !VOLUMES.contains(&key.as_str())).cloned()
        };
        let bad: Vec<(&str, String)> = items(self.pod, "/spec/volumes")
            .iter()
            .filter_map(|volume| Some((text(volume, "/name"), source(volume)?)))
            .collect();
        if bad.is_empty() {
            return None;
        }
        let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
        let kinds = distinct(bad.iter().map(|(_, kind)| kind.as_str()));
        let uses = if names.len() == 1 { "uses" } else { "use" };
        violation(
            "restricted volume types",
            format!(
                "{} {} {uses} restricted volume {} {}",
                plural("volume", names.len()),
                quoted(&names),
                plural("type", kinds.len()),
                quoted(&kinds)
            ),
        )
    }

    pub(super) fn run_as_non_root(self) -> Option<Violation> {
        let of_pod = self.of_pod("runAsNonRoot").and_then(Value::as_bool);
        let of = |container: &Value| flag(container, "/securityContext/runAsNonRoot");
        let refuse = self.names_where(|container| of(container) == Some(false));
        // The pod's own false matters only where a container relies on it.
        let relies = self.names_where(|container| of(container).is_none());
        let pod_refuses = of_pod == Some(false) && !relies.is_empty();
        if pod_refuses || !refuse.is_empty() {
            let who = setters(pod_refuses, &refuse);
            return violation("runAsNonRoot != true", format!("{who} must not set securityContext.runAsNonRoot=false"));
        }
        if of_pod == Some(true) || relies.is_empty() {
            return None;
        }
        let who = containers_named(&relies);
        violation("runAsNonRoot != true", format!("pod or {who} must set securityContext.runAsNonRoot=true"))
    }

    pub(super) fn run_as_user(self) -> Option<Violation> {
        if !self.level.has(23) {
            return None;
        }
        let of_pod = self.of_pod("runAsUser").and_then(Value::as_i64) == Some(0);
        let is_root =
            |c: &Value| present(c, "/securityContext/runAsUser") && number(c, "/securityContext/runAsUser") == 0;
        let names = self.names_where(is_root);
        if !of_pod && names.is_empty() {
            return None;
        }
        violation("runAsUser=0", format!("{} must not set runAsUser=0", setters(of_pod, &names)))
    }

    pub(super) fn seccomp(self) -> Option<Violation> {
        if self.is_windows() {
            return None;
        }
        let kind = |profile: Option<&Value>| profile.map(|p| text(p, "/type").to_owned());
        let good = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
        let of = |container: &Value| kind(of_container(container, "seccompProfile"));
        let of_pod = kind(self.of_pod("seccompProfile"));
        let bad_pod = of_pod.as_deref().is_some_and(|kind| !good(kind));
        let bad = self.names_where(|container| of(container).is_some_and(|kind| !good(&kind)));
        if bad_pod || !bad.is_empty() {
            let kinds: Vec<String> =
                self.containers().filter_map(of).chain(of_pod).filter(|kind| !good(kind)).collect();
            let kinds = quoted(&distinct(kinds.iter().map(String::as_str)));
            let who = setters(bad_pod, &bad);
            return violation(
                "seccompProfile",
                format!("{who} must not set securityContext.seccompProfile.type to {kinds}"),
            );
        }
        let relies = self.names_where(|container| of(container).is_none());
        if of_pod.is_some() || relies.is_empty() {
            return None;
        }
        let who = containers_named(&relies);
        violation(
            "seccompProfile",
            format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""),
        )
    }
}
