//! The checks of the baseline level. From [`super::violations`]. Pure.

use serde_json::Value;

use super::{PodSpec, Violation, containers_named, distinct, of_container, plural, quoted, setters, violation};
use crate::json_field::{flag, items, number, pairs, present, text, texts};

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Kernel parameters that only touch the pod itself, with the minor version that allowed them.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

impl PodSpec<'_> {
    pub(super) fn app_armor_profile(self) -> Option<Violation> {
        let forbidden = |kind: &str| !matches!(kind, "" | "RuntimeDefault" | "Localhost");
        let of_pod = self.of_pod("appArmorProfile").map_or("", |profile| text(profile, "/type"));
        let kind =
            |c: &Value| of_container(c, "appArmorProfile").map_or(String::new(), |p| text(p, "/type").to_owned());
        let names = self.names_where(|container| forbidden(&kind(container)));
        let mut kinds: Vec<String> = self.containers().map(kind).filter(|kind| forbidden(kind)).collect();
        kinds.extend(Some(of_pod.to_owned()).filter(|kind| forbidden(kind)));
        let annotations: Vec<String> = pairs(self.pod, "/metadata/annotations")
            .filter(|(key, value)| {
                let allowed = matches!(*value, "" | "runtime/default") || value.starts_with("localhost/");
                key.starts_with(APP_ARMOR_ANNOTATION) && !allowed
            })
            .map(|(key, value)| format!("{key}={value:?}"))
            .collect();
        let mut details = Vec::new();
        if !kinds.is_empty() {
            let values = distinct(kinds.iter().map(String::as_str));
            let who = setters(forbidden(of_pod), &names);
            details.push(format!("{who} must not set AppArmor profile type to {}", quoted(&values)));
        }
        if !annotations.is_empty() {
            details.push(format!("{} {}", plural("annotation", annotations.len()), annotations.join(", ")));
        }
        let count = kinds.len() + annotations.len();
        (count > 0)
            .then(|| violation(&format!("forbidden AppArmor {}", plural("profile", count)), details.join("; ")))?
    }

    pub(super) fn added_capabilities(self) -> Option<Violation> {
        let bad = |container: &Value| -> Vec<String> {
            let added = texts(container, "/securityContext/capabilities/add").into_iter();
            added.filter(|capability| !CAPABILITIES.contains(capability)).map(str::to_owned).collect()
        };
        let names = self.names_where(|container| !bad(container).is_empty());
        if names.is_empty() {
            return None;
        }
        let added: Vec<String> = self.containers().flat_map(bad).collect();
        let added = quoted(&distinct(added.iter().map(String::as_str)));
        let who = containers_named(&names);
        violation(
            "non-default capabilities",
            format!("{who} must not include {added} in securityContext.capabilities.add"),
        )
    }

    pub(super) fn host_namespaces(self) -> Option<Violation> {
        let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
            .into_iter()
            .filter(|field| flag(self.pod, &format!("/spec/{field}")) == Some(true))
            .map(|field| format!("{field}=true"))
            .collect();
        if set.is_empty() { None } else { violation("host namespaces", set.join(", ")) }
    }

    pub(super) fn host_path_volumes(self) -> Option<Violation> {
        let volumes = items(self.pod, "/spec/volumes").iter();
        let names: Vec<&str> = volumes.filter(|v| present(v, "/hostPath")).map(|v| text(v, "/name")).collect();
        if names.is_empty() {
            return None;
        }
        violation("hostPath volumes", format!("{} {}", plural("volume", names.len()), quoted(&names)))
    }

    pub(super) fn host_ports(self) -> Option<Violation> {
        let of = |container: &Value| -> Vec<i64> {
            let ports = items(container, "/ports").iter().map(|port| number(port, "/hostPort"));
            ports.filter(|port| *port != 0).collect()
        };
        let names = self.names_where(|container| !of(container).is_empty());
        let mut ports: Vec<String> = self.containers().flat_map(of).map(|port| port.to_string()).collect();
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() {
            return None;
        }
        let uses = if names.len() == 1 { "uses" } else { "use" };
        let word = plural("hostPort", ports.len());
        violation(&word, format!("{} {uses} {word} {}", containers_named(&names), ports.join(", ")))
    }

    /// Probes and hooks that reach for another host than the pod itself (checked from v1.34 on).
    pub(super) fn host_probes(self) -> Option<Violation> {
        const HANDLERS: [&str; 5] =
            ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/postStart", "lifecycle/preStop"];
        if !self.level.has(34) {
            return None;
        }
        let hosts = |container: &Value| -> Vec<String> {
            let handlers = HANDLERS.iter().flat_map(|handler| {
                ["httpGet", "tcpSocket"].map(|action| text(container, &format!("/{handler}/{action}/host")).to_owned())
            });
            handlers.filter(|host| !matches!(host.as_str(), "" | "127.0.0.1" | "::1")).collect()
        };
        let names = self.names_where(|container| !hosts(container).is_empty());
        if names.is_empty() {
            return None;
        }
        let used: Vec<String> = self.containers().flat_map(hosts).collect();
        let used = distinct(used.iter().map(String::as_str));
        let uses = if names.len() == 1 { "uses" } else { "use" };
        let word = plural("host", used.len());
        let who = containers_named(&names);
        violation("probe or lifecycle host", format!("{who} {uses} probe or lifecycle {word} {}", quoted(&used)))
    }

    pub(super) fn privileged(self) -> Option<Violation> {
        let names = self.names_where(|container| flag(container, "/securityContext/privileged") == Some(true));
        if names.is_empty() {
            return None;
        }
        violation("privileged", format!("{} must not set securityContext.privileged=true", containers_named(&names)))
    }

    pub(super) fn proc_mount(self) -> Option<Violation> {
        let kind = |container: &Value| text(container, "/securityContext/procMount").to_owned();
        let bad = |kind: &str| !matches!(kind, "" | "Default");
        let names = self.names_where(|container| bad(&kind(container)));
        if names.is_empty() {
            return None;
        }
        let kinds: Vec<String> = self.containers().map(kind).filter(|kind| bad(kind)).collect();
        let kinds = quoted(&distinct(kinds.iter().map(String::as_str)));
        violation(
            "procMount",
            format!("{} must not set securityContext.procMount to {kinds}", containers_named(&names)),
        )
    }

    pub(super) fn se_linux_options(self) -> Option<Violation> {
        const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
        let bad_type = |options: &Value| !TYPES.contains(&text(options, "/type"));
        let set = |options: &Value, field: &str| !text(options, field).is_empty();
        let bad = |options: &Value| bad_type(options) || set(options, "/user") || set(options, "/role");
        let of_pod = self.of_pod("seLinuxOptions").filter(|options| bad(options));
        let names = self.names_where(|container| of_container(container, "seLinuxOptions").is_some_and(bad));
        if of_pod.is_none() && names.is_empty() {
            return None;
        }
        let all: Vec<&Value> =
            self.containers().filter_map(|container| of_container(container, "seLinuxOptions")).chain(of_pod).collect();
        let mut details = Vec::new();
        let types = distinct(all.iter().filter(|options| bad_type(options)).map(|options| text(options, "/type")));
        if !types.is_empty() {
            details.push(format!("{} {}", plural("type", types.len()), quoted(&types)));
        }
        for field in ["user", "role"] {
            if all.iter().any(|options| set(options, &format!("/{field}"))) {
                details.push(format!("{field} may not be set"));
            }
        }
        let who = setters(of_pod.is_some(), &names);
        violation(
            "seLinuxOptions",
            format!("{who} set forbidden securityContext.seLinuxOptions: {}", details.join("; ")),
        )
    }

    pub(super) fn unconfined_seccomp(self) -> Option<Violation> {
        let unconfined = |profile: Option<&Value>| profile.is_some_and(|p| text(p, "/type") == "Unconfined");
        let of_pod = unconfined(self.of_pod("seccompProfile"));
        let names = self.names_where(|container| unconfined(of_container(container, "seccompProfile")));
        if !of_pod && names.is_empty() {
            return None;
        }
        let who = setters(of_pod, &names);
        violation("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to \"Unconfined\""))
    }

    pub(super) fn sysctls(self) -> Option<Violation> {
        let allowed = |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && self.level.has(*since));
        let names: Vec<&str> = items(self.pod, "/spec/securityContext/sysctls")
            .iter()
            .map(|sysctl| text(sysctl, "/name"))
            .filter(|name| !allowed(name))
            .collect();
        if names.is_empty() { None } else { violation("forbidden sysctls", names.join(", ")) }
    }

    pub(super) fn windows_host_process(self) -> Option<Violation> {
        let set = |context: Option<&Value>| context.and_then(Value::as_bool) == Some(true);
        let of_pod = set(self.of_pod("windowsOptions/hostProcess"));
        let names = self.names_where(|container| set(of_container(container, "windowsOptions/hostProcess")));
        if !of_pod && names.is_empty() {
            return None;
        }
        let who = setters(of_pod, &names);
        violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
    }
}
