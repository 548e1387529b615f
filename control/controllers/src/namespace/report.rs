//! What is left in a namespace that goes, as conditions. From [`super`]; to its status. Pure.

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;

/// The outcome of one round of deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Groups that could not be asked for their kinds.
    pub undiscovered: Vec<String>,
    /// Deletions that failed.
    pub failures: Vec<String>,
    /// Kinds of which objects are left, and how many.
    pub remaining: Vec<(String, usize)>,
    /// Finalizers on what is left, and on how many objects.
    pub finalizers: BTreeMap<String, usize>,
}

impl Report {
    /// Whether the namespace is known to be empty.
    pub fn is_empty(&self) -> bool {
        self.undiscovered.is_empty() && self.failures.is_empty() && self.remaining.is_empty()
    }

    /// The namespace's status with the report as conditions.
    pub fn status(&self, namespace: &Namespace, now: &Time) -> NamespaceStatus {
        let mut status = namespace.status.clone().unwrap_or_default();
        status.phase = Some("Terminating".to_owned());
        let conditions = status.conditions.get_or_insert_default();
        let mut remaining: Vec<String> =
            self.remaining.iter().map(|(name, count)| format!("{name} has {count} resource instances")).collect();
        remaining.sort();
        let finalizers: Vec<String> =
            self.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
        let joined =
            |prefix: &str, texts: &[String]| (!texts.is_empty()).then(|| format!("{prefix}{}", texts.join(", ")));
        for (kind, problem, bad, good, fine) in [
            (
                "NamespaceDeletionDiscoveryFailure",
                joined("Discovery failed for some groups, ", &self.undiscovered),
                "DiscoveryFailed",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                None,
                "GroupVersionParsingFailed",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                joined("Failed to delete all resource types, ", &self.failures),
                "ContentDeletionFailed",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            (
                "NamespaceContentRemaining",
                joined("Some resources are remaining: ", &remaining),
                "SomeResourcesRemain",
                "ContentRemoved",
                "All content successfully removed",
            ),
            (
                "NamespaceFinalizersRemaining",
                joined("Some content in the namespace has finalizers remaining: ", &finalizers),
                "SomeFinalizersRemain",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ] {
            let state = if problem.is_some() { "True" } else { "False" };
            let reason = if problem.is_some() { bad } else { good };
            set(conditions, kind, state, reason, problem.unwrap_or_else(|| fine.to_owned()), now);
        }
        status
    }
}

fn set(conditions: &mut Vec<NamespaceCondition>, kind: &str, state: &str, reason: &str, message: String, now: &Time) {
    let condition = NamespaceCondition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(now.clone()),
    };
    match conditions.iter_mut().find(|known| known.type_ == kind) {
        Some(known)
            if known.status == state
                && known.reason.as_deref() == Some(reason)
                && known.message == condition.message => {}
        Some(known) => {
            let since = known.last_transition_time.clone().filter(|_| known.status == state);
            *known = condition;
            if since.is_some() {
                known.last_transition_time = since;
            }
        }
        None => conditions.push(condition),
    }
}

/// The namespace's finalizers apart from ours.
pub fn finalizers_left(namespace: &Namespace) -> Vec<String> {
    let finalizers = namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten());
    finalizers.filter(|name| *name != "kubernetes").cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn the_report_says_what_is_left() {
        let report = Report {
            remaining: vec![("configmaps.".into(), 1)],
            finalizers: [("e.com/x".to_owned(), 1)].into(),
            ..Report::default()
        };
        let now = Time(Timestamp::UNIX_EPOCH);
        let mut namespace = Namespace::default();
        let status = report.status(&namespace, &now);
        let conditions = status.conditions.clone().unwrap();
        let told: Vec<_> = conditions.iter().map(|c| (c.status.as_str(), c.message.as_deref().unwrap())).collect();
        assert_eq!(told[3], ("True", "Some resources are remaining: configmaps. has 1 resource instances"));
        assert_eq!(
            told[4],
            ("True", "Some content in the namespace has finalizers remaining: e.com/x in 1 resource instances")
        );
        namespace.status = Some(status.clone());
        assert_eq!(report.status(&namespace, &Time(Timestamp::MAX)), status, "no change, no new times");
        assert!(Report::default().is_empty() && !report.is_empty());
    }
}
