//! cpu and memory of the spec in the kernel's terms; from specs; to [`container_config`](super::container_config) and
//! [`cgroups`](crate::cgroups). Pure.

use k8s_cri::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use crate::pod::{self, Qos};
use crate::quantity;

/// Period of cpu quotas, in microseconds.
pub const CPU_PERIOD_US: i64 = 100_000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const MIN_QUOTA_US: i64 = 1000;

/// cpu weight (cgroup v1 shares) of a request in thousandths of a core.
pub fn shares(millicores: i64) -> i64 {
    (millicores.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// cpu quota in microseconds per [`CPU_PERIOD_US`] of a limit in thousandths of a core.
pub fn quota_us(millicores: i64) -> i64 {
    (millicores.saturating_mul(CPU_PERIOD_US) / 1000).max(MIN_QUOTA_US)
}

/// The cgroup v2 weight that means the same as `shares`.
pub fn weight(shares: i64) -> i64 {
    1 + ((shares.clamp(MIN_SHARES, MAX_SHARES) - MIN_SHARES) * 9999) / (MAX_SHARES - MIN_SHARES)
}

fn amount(resources: &ResourceRequirements, limit: bool, name: &str) -> Option<i64> {
    let map = if limit { resources.limits.as_ref() } else { resources.requests.as_ref() };
    let amount = map?.get(name)?;
    if name == "cpu" { quantity::milli_value(amount) } else { quantity::value(amount) }
}

/// Requested cpu in thousandths of a core; a limit without a request counts as one.
pub fn cpu_request(container: &Container) -> i64 {
    let resources = container.resources.clone().unwrap_or_default();
    amount(&resources, false, "cpu").or_else(|| amount(&resources, true, "cpu")).unwrap_or(0)
}

/// Requested memory in bytes; a limit without a request counts as one.
pub fn memory_request(container: &Container) -> i64 {
    let resources = container.resources.clone().unwrap_or_default();
    amount(&resources, false, "memory").or_else(|| amount(&resources, true, "memory")).unwrap_or(0)
}

fn limit(container: &Container, name: &str) -> Option<i64> {
    amount(container.resources.as_ref()?, true, name).filter(|amount| *amount > 0)
}

/// What the runtime gives a container.
pub fn container_resources(pod: &Pod, container: &Container, node_memory_bytes: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: CPU_PERIOD_US,
        cpu_quota: limit(container, "cpu").map_or(0, quota_us),
        cpu_shares: shares(cpu_request(container)),
        memory_limit_in_bytes: limit(container, "memory").unwrap_or(0),
        oom_score_adj: oom_score(pod, container, node_memory_bytes),
        ..LinuxContainerResources::default()
    }
}

/// Preference of the kernel when it must end a process: the more memory was requested, the safer.
pub fn oom_score(pod: &Pod, container: &Container, node_memory_bytes: i64) -> i64 {
    match pod::qos(pod) {
        _ if pod::spec(pod).priority.is_some_and(|priority| priority >= 2_000_000_000) => -997,
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = memory_request(container);
            let score = 1000 - request.saturating_mul(1000).checked_div(node_memory_bytes).unwrap_or(0);
            score.clamp(3, 999)
        }
    }
}

/// What a pod's own cgroup is limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodLimits {
    /// cpu weight (cgroup v1 shares).
    pub shares: i64,
    /// cpu quota in microseconds per period, if every container has a limit.
    pub quota_us: Option<i64>,
    /// Memory in bytes, if every container has a limit.
    pub memory_bytes: Option<i64>,
}

/// Limits of the pod's cgroup: sums over what runs at the same time (sidecars with apps; plain init containers one by one).
pub fn pod_limits(pod: &Pod) -> PodLimits {
    let request = total(pod, |container| Some(cpu_request(container))).unwrap_or(0);
    let shares = if pod::qos(pod) == Qos::BestEffort { MIN_SHARES } else { shares(request) };
    PodLimits {
        shares,
        quota_us: total(pod, |container| limit(container, "cpu")).map(quota_us),
        memory_bytes: total(pod, |container| limit(container, "memory")),
    }
}

/// Requested cpu (thousandths) and memory (bytes) of the whole pod.
pub fn pod_requests(pod: &Pod) -> (i64, i64) {
    let cpu = total(pod, |container| Some(cpu_request(container))).unwrap_or(0);
    (cpu, total(pod, |container| Some(memory_request(container))).unwrap_or(0))
}

fn total(pod: &Pod, of: impl Fn(&Container) -> Option<i64>) -> Option<i64> {
    let mut apps = pod::spec(pod).containers.iter().map(&of).sum::<Option<i64>>()?;
    let mut sidecars = 0;
    let mut peak = 0;
    for container in pod::init_containers(pod) {
        let amount = of(container)?;
        if pod::is_sidecar(container) {
            sidecars += amount;
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + amount);
        }
    }
    apps += sidecars;
    Some(apps.max(peak))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    #[test]
    fn converts_cpu() {
        assert_eq!((shares(0), shares(100), shares(1000)), (2, 102, 1024));
        assert_eq!((quota_us(1), quota_us(500), quota_us(2000)), (1000, 50_000, 200_000));
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }

    #[test]
    fn sums_what_runs_together() {
        let limits = |cpu: &str| json!({"limits": {"cpu": cpu, "memory": "1Mi"}});
        let pod = pod(json!({
            "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": limits("100m")},
                               {"name": "i", "resources": limits("2")}],
            "containers": [{"name": "a", "resources": limits("500m")}, {"name": "b", "resources": limits("500m")}]}));
        let found = pod_limits(&pod);
        assert_eq!(found.quota_us, Some(210_000));
        assert_eq!(found.memory_bytes, Some(3 << 20));
    }

    #[test]
    fn limits_need_every_container() {
        let pod = pod(json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}, {"name": "b"}]}));
        assert_eq!(pod_limits(&pod), PodLimits { shares: 1024, quota_us: None, memory_bytes: None });
    }

    #[test]
    fn oom_scores() {
        let burstable = pod(json!({"containers": [{"name": "a", "resources": {"requests": {"memory": "250"}}}]}));
        let container = &burstable.spec.as_ref().unwrap().containers[0];
        assert_eq!(oom_score(&burstable, container, 1000), 750);
        assert_eq!(oom_score(&burstable, container, 250), 3);
        let best_effort = pod(json!({"containers": [{"name": "a"}]}));
        assert_eq!(oom_score(&best_effort, &best_effort.spec.as_ref().unwrap().containers[0], 1000), 1000);
    }
}
