//! resolv.conf of a pod by dnsPolicy and dnsConfig, and its host name; from the spec and the node's settings; to
//! [`sandbox_config`](super::sandbox_config). Pure.

use k8s_cri::v1::DnsConfig;
use k8s_openapi::api::core::v1::Pod;

use crate::pod;

/// Resolver settings of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeDns {
    /// Addresses of the cluster's name servers.
    pub cluster_servers: Vec<String>,
    /// Domain of the cluster, for example `cluster.local`.
    pub cluster_domain: String,
    /// Name servers of the node's own resolv.conf.
    pub host_servers: Vec<String>,
    /// Search domains of the node's own resolv.conf.
    pub host_searches: Vec<String>,
    /// Options of the node's own resolv.conf.
    pub host_options: Vec<String>,
}

impl NodeDns {
    /// Reads the text of a resolv.conf into the `host_…` fields.
    #[must_use]
    pub fn with_resolv_conf(mut self, text: &str) -> Self {
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => self.host_servers.extend(words.next()),
                Some("search") => self.host_searches = words.filter(|word| word != ".").collect(),
                Some("options") => self.host_options = words.collect(),
                _ => {}
            }
        }
        self
    }
}

/// What the pod's resolv.conf shall hold.
pub fn resolver(pod: &Pod, node: &NodeDns) -> DnsConfig {
    let spec = pod::spec(pod);
    let mut config = match spec.dns_policy.as_deref() {
        Some("None") => DnsConfig::default(),
        Some("Default") => host(node),
        Some("ClusterFirstWithHostNet") => cluster(pod, node),
        _ if pod::host_network(pod) => host(node),
        _ => cluster(pod, node),
    };
    if let Some(extra) = &spec.dns_config {
        config.servers.extend(extra.nameservers.iter().flatten().cloned());
        config.searches.extend(extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let name = option.name.as_deref().unwrap_or_default();
            config.options.retain(|known| known.split(':').next() != Some(name));
            config.options.push(match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.to_owned(),
            });
        }
        unique(&mut config.servers);
        unique(&mut config.searches);
    }
    config
}

fn host(node: &NodeDns) -> DnsConfig {
    DnsConfig {
        servers: node.host_servers.clone(),
        searches: node.host_searches.clone(),
        options: node.host_options.clone(),
    }
}

fn cluster(pod: &Pod, node: &NodeDns) -> DnsConfig {
    if node.cluster_servers.is_empty() {
        return host(node);
    }
    let (namespace, domain) = (pod::namespace(pod), &node.cluster_domain);
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    searches.extend(node.host_searches.iter().cloned());
    unique(&mut searches);
    DnsConfig { servers: node.cluster_servers.clone(), searches, options: vec!["ndots:5".to_owned()] }
}

fn unique(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

/// Host name of the pod and, for pods with a subdomain, the full name below the cluster domain.
pub fn host_names(pod: &Pod, cluster_domain: &str) -> (String, Option<String>) {
    let spec = pod::spec(pod);
    if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (name.to_owned(), None);
    }
    let own = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or_else(|| pod::name(pod));
    let own: String = own.chars().take(63).collect();
    let own = own.trim_end_matches(['-', '.']).to_owned();
    let full = spec
        .subdomain
        .as_deref()
        .filter(|subdomain| !subdomain.is_empty())
        .map(|subdomain| format!("{own}.{subdomain}.{}.svc.{cluster_domain}", pod::namespace(pod)));
    (own, full)
}

/// The host name the kernel shall show in the pod.
pub fn kernel_host_name(pod: &Pod, cluster_domain: &str) -> String {
    let (own, full) = host_names(pod, cluster_domain);
    match full {
        Some(full) if pod::spec(pod).set_hostname_as_fqdn == Some(true) => full,
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn node() -> NodeDns {
        NodeDns {
            cluster_servers: vec!["10.96.0.10".into()],
            cluster_domain: "cluster.local".into(),
            ..NodeDns::default()
        }
        .with_resolv_conf("# x\nnameserver 9.9.9.9\nsearch corp.example .\noptions ndots:2 edns0\n")
    }

    #[test]
    fn policies() {
        let first = resolver(&pod(json!({"containers": []})), &node());
        assert_eq!(first.servers, ["10.96.0.10"]);
        assert_eq!(first.searches, ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"]);
        assert_eq!(first.options, ["ndots:5"]);
        let host = resolver(&pod(json!({"containers": [], "hostNetwork": true})), &node());
        assert_eq!((host.servers, host.options.len()), (vec!["9.9.9.9".to_owned()], 2));
        let none = resolver(
            &pod(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"],
                "options": [{"name": "ndots", "value": "3"}, {"name": "rotate"}]}})),
            &node(),
        );
        assert_eq!((none.servers, none.options), (vec!["1.1.1.1".to_owned()], vec!["ndots:3".into(), "rotate".into()]));
    }

    #[test]
    fn names() {
        let (own, full) = host_names(&pod(json!({"containers": [], "subdomain": "svc"})), "cluster.local");
        assert_eq!((own.as_str(), full.as_deref()), ("web-0", Some("web-0.svc.ns.svc.cluster.local")));
        let fqdn = pod(json!({"containers": [], "subdomain": "svc", "setHostnameAsFQDN": true}));
        assert_eq!(kernel_host_name(&fqdn, "cluster.local"), "web-0.svc.ns.svc.cluster.local");
    }
}
