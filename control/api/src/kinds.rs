//! The table of kinds: names, verbs, subresources, schema and strategy of every resource; from `data/kinds.tsv` (or a custom resource
//! definition at run time); to every request; pure.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::schema::{self, ObjectRef};
use crate::strategy::Strategy;

mod autoscaler;
mod certificate;
mod config_map;
mod controller_revision;
mod device;
mod endpoints;
mod event;
mod field_rules;
mod flow_control;
mod go_struct;
mod job;
mod lease;
mod namespace;
mod networking;
mod node;
pub mod pod;
mod pod_spec;
pub mod pod_validation;
mod pod_warnings;
mod policy;
mod priority_class;
mod quota;
mod rbac;
mod registry;
mod secret;
mod service;
pub mod service_validation;
mod storage;
mod struct_diff;
mod volume;
mod webhook;
pub mod workload_status;
pub mod workload_validation;
mod workloads;

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Of the whole cluster.
    Cluster,
}

/// A part of a resource with its own URL below the object's.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// The last segment of the URL, for instance `status`.
    pub name: String,
    /// Group of the kind that is sent and answered; may differ from the resource's (`autoscaling` for `scale`).
    pub group: String,
    /// Version of that kind.
    pub version: String,
    /// That kind, for instance `Scale`.
    pub kind: String,
    /// Verbs, in the order discovery lists them.
    pub verbs: Vec<String>,
}

/// One resource in one version.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group, empty for core.
    pub group: String,
    /// Version, for instance `v1`.
    pub version: String,
    /// Kind of one object.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Name in URLs.
    pub plural: String,
    /// Name in messages and on the command line.
    pub singular: String,
    /// Abbreviations for the command line.
    pub short_names: Vec<String>,
    /// Groups of resources on the command line: `all`, `api-extensions`.
    pub categories: Vec<String>,
    /// Namespaced or not.
    pub scope: Scope,
    /// Verbs of the resource itself, in the order discovery lists them.
    pub verbs: Vec<String>,
    /// Subresources in the order discovery lists them.
    pub subresources: Vec<Subresource>,
    /// Fields of the object.
    pub schema: ObjectRef,
    /// Where objects are stored, without the leading `/registry/`: `minions`, `services/specs`, `group/plural` for custom resources.
    pub storage_prefix: String,
    /// `apiVersion` in which objects are stored; see [`crate::conversion`].
    pub storage_api_version: String,
    /// The kind's own rules.
    pub strategy: Arc<dyn Strategy>,
}

impl Kind {
    /// `group/version`, or `version` for core.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// Whether objects are stored (as opposed to reviews, which are only answered).
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.has_verb("get") && self.has_verb("create")
    }

    /// Whether the resource itself has this verb.
    #[must_use]
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The subresource of this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// `plural` or `plural.group`, as in `deployments.apps`.
    #[must_use]
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The Go package alias of this version as messages show it: `apps/v1, Kind=Deployment`.
    #[must_use]
    pub fn gvk_text(&self) -> String {
        gvk_text(&self.group, &self.version, &self.kind)
    }
}

/// `group/version`, or `version` when the group is empty.
#[must_use]
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The parts of an `apiVersion`: group (may be empty) and version; none when it holds more than one slash.
#[must_use]
pub fn split_api_version(api_version: &str) -> Option<(&str, &str)> {
    match api_version.split_once('/') {
        None => Some(("", api_version)),
        Some((_, version)) if version.contains('/') => None,
        Some(parts) => Some(parts),
    }
}

/// `group/version, Kind=kind` as upstream prints a group-version-kind; the slash stays when the group is empty.
#[must_use]
pub fn gvk_text(group: &str, version: &str, kind: &str) -> String {
    format!("{group}/{version}, Kind={kind}")
}

/// A set of kinds that can be asked by URL or by `apiVersion` and `kind`.
#[derive(Debug, Default)]
pub struct Kinds {
    list: Vec<Arc<Kind>>,
    /// Positions in the list, by plural.
    by_resource: HashMap<String, Vec<usize>>,
    /// Positions in the list, by kind.
    by_kind: HashMap<String, Vec<usize>>,
}

impl Kinds {
    /// Builds the indices; of two entries with the same names the first stays.
    #[must_use]
    pub fn new(list: Vec<Arc<Kind>>) -> Self {
        let mut kinds = Self { list, ..Self::default() };
        for (index, kind) in kinds.list.iter().enumerate() {
            kinds.by_resource.entry(kind.plural.clone()).or_default().push(index);
            kinds.by_kind.entry(kind.kind.clone()).or_default().push(index);
        }
        kinds
    }

    /// All kinds, in the order of discovery.
    #[must_use]
    pub fn all(&self) -> &[Arc<Kind>] {
        &self.list
    }

    /// The kind behind `/apis/group/version/plural`.
    #[must_use]
    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.among(self.by_resource.get(plural)?, group, version)
    }

    /// The kind with this group, version and kind.
    #[must_use]
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.among(self.by_kind.get(kind)?, group, version)
    }

    fn among(&self, positions: &[usize], group: &str, version: &str) -> Option<&Arc<Kind>> {
        let mut kinds = positions.iter().filter_map(|&at| self.list.get(at));
        kinds.find(|kind| kind.group == group && kind.version == version)
    }

    /// The kind of an object by its `apiVersion` and `kind`.
    #[must_use]
    pub fn of_object(&self, object: &serde_json::Value) -> Option<&Arc<Kind>> {
        let (group, version) = split_api_version(object.get("apiVersion")?.as_str()?)?;
        self.by_kind(group, version, object.get("kind")?.as_str()?)
    }

    /// Groups with their versions in order of discovery (preferred version first); core is the empty group and comes first.
    #[must_use]
    pub fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for kind in &self.list {
            match groups.iter_mut().find(|(name, _)| *name == kind.group) {
                None => groups.push((&kind.group, vec![&kind.version])),
                Some((_, versions)) if !versions.contains(&kind.version.as_str()) => versions.push(&kind.version),
                Some(_) => {}
            }
        }
        groups
    }
}

static BUILTIN: LazyLock<Kinds> = LazyLock::new(|| Kinds::new(parse(include_str!("data/kinds.tsv"))));

/// The kinds of Kubernetes v1.34 that are served without feature gates.
#[must_use]
pub fn builtin() -> &'static Kinds {
    &BUILTIN
}

fn parse(table: &str) -> Vec<Arc<Kind>> {
    let mut kinds: Vec<Kind> = Vec::new();
    let words = |text: &str| -> Vec<String> { text.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect() };
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let column = |i: usize| columns.get(i).copied().unwrap_or_default();
        let (group, version, kind) = (column(0), column(1), column(3));
        match column(2).split_once('/') {
            Some((plural, name)) => {
                let owner = kinds.iter_mut().find(|k| k.group == group && k.version == version && k.plural == plural);
                if let Some(owner) = owner {
                    owner.subresources.push(subresource(name, kind, owner, words(column(5))));
                }
            }
            None => kinds.push(Kind {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: kind.to_owned(),
                list_kind: format!("{kind}List"),
                plural: column(2).to_owned(),
                singular: column(8).to_owned(),
                short_names: words(column(6)),
                categories: words(column(7)),
                scope: if column(4) == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
                verbs: words(column(5)),
                subresources: Vec::new(),
                schema: schema::of_kind(group, version, kind),
                storage_prefix: storage_prefix(group, column(2)),
                storage_api_version: storage_api_version(group, version, kind),
                strategy: registry::strategy(group, kind),
            }),
        }
    }
    kinds.into_iter().map(Arc::new).collect()
}

/// Reads `Scale (autoscaling/v1)` or a kind of the owner's own version.
fn subresource(name: &str, kind: &str, owner: &Kind, verbs: Vec<String>) -> Subresource {
    let foreign = kind.split_once(" (").and_then(|(k, gv)| Some((k, split_api_version(gv.strip_suffix(')')?)?)));
    let (kind, (group, version)) = foreign.unwrap_or((kind, (&owner.group, &owner.version)));
    Subresource {
        name: name.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        verbs,
    }
}

/// Upstream stores built-ins under the plural name alone, with a few historic names; only the two groups that came from
/// separate servers carry their group.
fn storage_prefix(group: &str, plural: &str) -> String {
    match (group, plural) {
        ("", "replicationcontrollers") => "controllers".to_owned(),
        ("", "endpoints") => "services/endpoints".to_owned(),
        ("", "services") => "services/specs".to_owned(),
        ("", "nodes") => "minions".to_owned(),
        ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
        ("apiextensions.k8s.io" | "apiregistration.k8s.io", _) => format!("{group}/{plural}"),
        (_, plural) => plural.to_owned(),
    }
}

fn storage_api_version(group: &str, version: &str, kind: &str) -> String {
    match (group, kind) {
        ("autoscaling", "HorizontalPodAutoscaler") => "autoscaling/v2".to_owned(),
        // Both event APIs share one store.
        ("events.k8s.io", "Event") => "v1".to_owned(),
        _ => api_version(group, version),
    }
}

#[cfg(test)]
mod tests;
