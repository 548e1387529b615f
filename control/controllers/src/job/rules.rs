//! A Job's policies: which failures count, and which successes are enough. From the spec and pods; to the plan. Pure.

use super::indexes;
use crate::pod_state;
use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::BTreeSet;

/// What a failed pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// One failure towards the limit.
    Count,
    /// None.
    Ignore,
    /// The end of its index.
    FailIndex,
    /// The end of the job, with the words for the condition.
    FailJob(String),
}

/// What the failure policy makes of a failed pod; the first rule that matches counts.
pub fn meaning(spec: &JobSpec, pod: &Pod) -> Meaning {
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    for (number, rule) in rules.enumerate() {
        let Some(why) = matches(rule, pod) else { continue };
        return match rule.action.as_str() {
            "FailJob" => Meaning::FailJob(format!("{why} matching FailJob rule at index {number}")),
            "Ignore" => Meaning::Ignore,
            "FailIndex" => Meaning::FailIndex,
            _ => Meaning::Count,
        };
    }
    Meaning::Count
}

fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let name = format!(
        "{}/{}",
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default()
    );
    if let Some(codes) = &rule.on_exit_codes {
        let status = pod.status.as_ref()?;
        let containers =
            status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
        let ended =
            |container: &&ContainerStatus| codes.container_name.as_ref().is_none_or(|wanted| *wanted == container.name);
        for container in containers.filter(ended) {
            let code = container.state.as_ref().and_then(|state| state.terminated.as_ref()).map(|end| end.exit_code);
            let hit = code.filter(|code| *code != 0 && (codes.operator == "In") == codes.values.contains(code));
            if let Some(code) = hit {
                return Some(format!("Container {} for pod {name} failed with exit code {code}", container.name));
            }
        }
        return None;
    }
    let patterns = rule.on_pod_conditions.iter().flatten();
    for pattern in patterns {
        if pod_state::condition(pod, &pattern.type_).is_some_and(|condition| condition.status == pattern.status) {
            return Some(format!("Pod {name} has condition {}", pattern.type_));
        }
    }
    None
}

/// The success rule that holds for these completed indexes, by number.
pub fn success_rule(spec: &JobSpec, completed: &BTreeSet<i32>) -> Option<usize> {
    let completions = spec.completions?;
    let rules = &spec.success_policy.as_ref()?.rules;
    rules.iter().position(|rule| {
        let wanted = rule.succeeded_indexes.as_ref().map(|text| indexes::parse(text, completions));
        let done = wanted.as_ref().map_or(completed.len(), |wanted| wanted.intersection(completed).count());
        match rule.succeeded_count {
            Some(count) => usize::try_from(count).is_ok_and(|count| done >= count),
            None => wanted.is_some_and(|wanted| done == wanted.len()),
        }
    })
}
