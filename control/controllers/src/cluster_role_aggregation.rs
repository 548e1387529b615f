//! ClusterRoles made of others: their rules are those of the roles that they select. From ClusterRoles; to them.

use crate::cluster::{Cluster, patched};
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::sync::{SyncError, ignore_missing};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::Patch;
use serde_json::json;
use std::sync::Arc;

const NAME: &str = "clusterrole-aggregation-controller";

/// Registers handlers and starts the worker.
pub fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = WorkQueue::new();
    let (to, of) = (Arc::clone(&queue), Arc::clone(cluster));
    cluster.informers.cluster_roles.on_change(move |_| {
        for role in of.informers.cluster_roles.all().iter().filter(|role| role.aggregation_rule.is_some()) {
            to.add(ObjectKey::of::<ClusterRole>(role));
        }
    });
    let cluster = Arc::clone(cluster);
    tasks.spawn_workers(NAME, 2, &queue, move |key| {
        let cluster = Arc::clone(&cluster);
        async move { sync(&cluster, &key).await }
    });
}

async fn sync(cluster: &Cluster, key: &ObjectKey) -> Result<(), SyncError> {
    let Some(role) = cluster.informers.cluster_roles.get(key) else { return Ok(()) };
    let Some(rules) = aggregated(&role, &cluster.informers.cluster_roles.all()) else { return Ok(()) };
    if role.rules.clone().unwrap_or_default() == rules {
        return Ok(());
    }
    let patch = Patch::Merge(json!({
        "metadata": {"resourceVersion": role.metadata.resource_version},
        "rules": if rules.is_empty() { None } else { Some(rules) },
    }));
    ignore_missing(cluster.cluster_api::<ClusterRole>().patch(&key.name, &patched(), &patch).await)?;
    Ok(())
}

/// The rules of all roles that `role` selects, each once; `None` when it selects none by rule.
fn aggregated(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.clone().unwrap_or_default();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let selector = Selector::of(Some(&selector));
        // `all` is ordered by name, so the outcome does not depend on the order of events.
        let selected = all.iter().filter(|other| other.metadata.name != role.metadata.name);
        for other in selected.filter(|other| selector.matches(other.metadata.labels.as_ref())) {
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::rbac::v1::AggregationRule;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    #[test]
    fn rules_of_selected_roles_are_joined() {
        let labels = || Some([("agg".to_owned(), "x".to_owned())].into());
        let rule = |verb: &str| PolicyRule { verbs: vec![verb.into()], ..PolicyRule::default() };
        let part = |name: &str, verbs: &[&str]| {
            let mut role =
                ClusterRole { rules: Some(verbs.iter().map(|v| rule(v)).collect()), ..ClusterRole::default() };
            role.metadata.name = Some(name.into());
            role.metadata.labels = labels();
            Arc::new(role)
        };
        let selector = LabelSelector { match_labels: labels(), match_expressions: None };
        let mut whole = ClusterRole {
            aggregation_rule: Some(AggregationRule { cluster_role_selectors: Some(vec![selector]) }),
            ..ClusterRole::default()
        };
        whole.metadata.name = Some("whole".into());
        let all = [part("a", &["get", "list"]), part("b", &["list", "watch"])];
        assert_eq!(aggregated(&whole, &all), Some(vec![rule("get"), rule("list"), rule("watch")]));
        assert_eq!(aggregated(&all[0], &all), None);
    }
}
