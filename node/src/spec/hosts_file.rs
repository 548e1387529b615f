//! The text of a pod's /etc/hosts; from the spec, the pod's addresses and (host network) the node's own file; to the
//! pod directory. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::dns::host_names;
use crate::pod;

const HEADER: &str = "# Kubernetes-managed hosts file.";
const HEADER_HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).";
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                     fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

/// The file's text. `node_file` is the node's own /etc/hosts, used by pods in the node's network.
pub fn hosts_file(pod: &Pod, pod_ips: &[IpAddr], cluster_domain: &str, node_file: &str) -> String {
    let mut text = if pod::host_network(pod) {
        format!("{HEADER_HOST_NETWORK}\n{node_file}")
    } else {
        let (own, full) = host_names(pod, cluster_domain);
        let names = full.map_or_else(|| own.clone(), |full| format!("{full}\t{own}"));
        let mut text = format!("{HEADER}\n{LOCAL}");
        for ip in pod_ips {
            text += &format!("{ip}\t{names}\n");
        }
        text
    };
    let aliases = pod::spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        text += &format!("{}\t{names}\n", alias.ip);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_the_pod_and_its_aliases() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {
            "containers": [], "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}}))
        .unwrap();
        let text = hosts_file(&pod, &["10.0.0.2".parse().unwrap()], "cluster.local", "");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(text.contains("10.0.0.2\tp.s.ns.svc.cluster.local\tp\n"));
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    }
}
