//! Finds out which kinds the API server has. From its discovery documents; to the namespace controller and the garbage
//! collector.

use kube::Client;
use kube::api::ApiResource;

/// A kind, and what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Group, version, kind and plural.
    pub api: ApiResource,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// What can be done.
    pub verbs: Vec<String>,
}

impl Resource {
    /// Whether the kind can do all this.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|known| known == verb))
    }

    /// `plural.group`, with the point also for the core group.
    pub fn name(&self) -> String {
        format!("{}.{}", self.api.plural, self.api.group)
    }
}

/// The kinds at each group's preferred version, and the groups that could not be asked.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// All kinds.
    pub all: Vec<Resource>,
    /// Groups whose API service does not answer.
    pub stale: Vec<String>,
}

impl Resources {
    /// Asks the API server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn discover(client: &Client) -> Result<Self, kube::Error> {
        let core = client.list_core_api_versions_aggregated().await?;
        let groups = client.list_api_groups_aggregated().await?;
        let mut found = Self::default();
        for group in core.items.into_iter().chain(groups.items) {
            let name = group.metadata.and_then(|meta| meta.name).unwrap_or_default();
            let mut seen: Vec<String> = Vec::new();
            // Versions come with the preferred one first; later ones add only kinds that it lacks.
            for version in group.versions {
                let version_name = version.version.unwrap_or_default();
                if version.freshness.as_deref() == Some("Stale") {
                    found.stale.push(format!("{name}/{version_name}"));
                }
                for resource in version.resources {
                    let plural = resource.resource.unwrap_or_default();
                    let kind = resource.response_kind.and_then(|kind| kind.kind).unwrap_or_default();
                    if plural.is_empty() || kind.is_empty() || seen.contains(&plural) {
                        continue;
                    }
                    seen.push(plural.clone());
                    let api_version =
                        if name.is_empty() { version_name.clone() } else { format!("{name}/{version_name}") };
                    found.all.push(Resource {
                        api: ApiResource {
                            group: name.clone(),
                            version: version_name.clone(),
                            api_version,
                            kind,
                            plural,
                        },
                        namespaced: resource.scope.as_deref() == Some("Namespaced"),
                        verbs: resource.verbs,
                    });
                }
            }
        }
        Ok(found)
    }
}
