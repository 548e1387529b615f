//! Tells clients which resources there are, in the aggregated and the older forms. From the table of kinds; to `/api` and `/apis`. Pure.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use skep_api::kinds::{Kind, Kinds, Scope, Subresource, api_version};

/// How a client wants `/api` and `/apis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All groups, versions and resources in one document (`apidiscovery.k8s.io/v2`).
    V2,
    /// The same as `v2beta1`.
    V2Beta1,
    /// A document per group version, asked for one by one.
    Legacy,
}

impl Form {
    /// Picks the form from an `Accept` header: the first entry that is known, by descending `q`; [`Form::Legacy`] when none asks for more.
    #[must_use]
    pub fn negotiate(accept: &str) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for entry in accept.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut group, mut version, mut kind, mut quality) = ("", "", "", 1.0);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key {
                    "g" => group = value,
                    "v" => version = value,
                    "as" => kind = value,
                    "q" => quality = value.parse().unwrap_or(0.0),
                    _ => {}
                }
            }
            if !matches!(media, "application/json" | "application/*" | "*/*") {
                continue;
            }
            let form = match (group, version, kind) {
                ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Self::V2,
                ("apidiscovery.k8s.io", "v2beta1", "APIGroupDiscoveryList") => Self::V2Beta1,
                ("", "", "") => Self::Legacy,
                _ => continue,
            };
            if best.is_none_or(|(of_best, _)| quality > of_best) {
                best = Some((quality, form));
            }
        }
        best.map_or(Self::Legacy, |(_, form)| form)
    }

    /// The `Content-Type` of the answer; with it goes `Vary: Accept`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            Self::Legacy => "application/json",
        }
    }
}

/// The answer to `GET /api`; `address` is host and port by which clients reach this server.
#[must_use]
pub fn api(kinds: &Kinds, form: Form, address: &str) -> Value {
    match aggregated_version(form) {
        Some(version) => aggregated(kinds, version, |group| group.is_empty()),
        None => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }),
    }
}

/// The answer to `GET /apis`.
#[must_use]
pub fn apis(kinds: &Kinds, form: Form) -> Value {
    match aggregated_version(form) {
        Some(version) => aggregated(kinds, version, |group| !group.is_empty()),
        None => {
            let groups = kinds.groups();
            let named = groups.iter().filter(|(name, _)| !name.is_empty());
            let groups: Vec<Value> = named.map(|(name, versions)| group_value(name, versions)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
    }
}

/// The answer to `GET /apis/<group>`; none when there is no such group.
#[must_use]
pub fn api_group(kinds: &Kinds, group: &str) -> Option<Value> {
    let groups = kinds.groups();
    let (name, versions) = groups.iter().find(|(name, _)| *name == group && !name.is_empty())?;
    let mut value = group_value(name, versions);
    let members = value.as_object_mut()?;
    members.insert("kind".to_owned(), json!("APIGroup"));
    members.insert("apiVersion".to_owned(), json!("v1"));
    Some(value)
}

/// The answer to `GET /api/v1` (empty group) and `GET /apis/<group>/<version>`; none when there is no such version.
#[must_use]
pub fn api_resource_list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds.all().iter().filter(|kind| kind.group == group && kind.version == version) {
        resources.push(resource_value(kind));
        resources.extend(kind.subresources.iter().map(|subresource| subresource_value(kind, subresource)));
    }
    if resources.is_empty() {
        return None;
    }
    let mut list = json!({
        "kind": "APIResourceList",
        "groupVersion": api_version(group, version),
        "resources": resources,
    });
    // The core group's list came before lists had versions.
    if !group.is_empty()
        && let Some(members) = list.as_object_mut()
    {
        members.insert("apiVersion".to_owned(), json!("v1"));
    }
    Some(list)
}

/// The `ETag` of an aggregated document, quotes included.
#[must_use]
pub fn etag(document: &[u8]) -> String {
    let hash = Sha512::digest(document);
    let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("\"{hex}\"")
}

fn aggregated_version(form: Form) -> Option<&'static str> {
    match form {
        Form::V2 => Some("v2"),
        Form::V2Beta1 => Some("v2beta1"),
        Form::Legacy => None,
    }
}

fn aggregated(kinds: &Kinds, version: &str, wanted: impl Fn(&str) -> bool) -> Value {
    let groups = kinds.groups();
    let items: Vec<Value> = groups
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, versions)| {
            let versions: Vec<Value> = versions.iter().map(|version| version_value(kinds, name, version)).collect();
            let mut metadata = Map::from_iter([("creationTimestamp".to_owned(), Value::Null)]);
            if !name.is_empty() {
                metadata.insert("name".to_owned(), json!(name));
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn version_value(kinds: &Kinds, group: &str, version: &str) -> Value {
    let of_version = kinds.all().iter().filter(|kind| kind.group == group && kind.version == version);
    let resources: Vec<Value> = of_version.map(|kind| aggregated_resource(kind)).collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": match kind.scope {
            Scope::Namespaced => "Namespaced",
            Scope::Cluster => "Cluster",
        },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    let subresources: Vec<Value> = kind
        .subresources
        .iter()
        .map(|part| {
            json!({
                "subresource": part.name,
                "responseKind": {"group": part.group, "version": part.version, "kind": part.kind},
                "verbs": part.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        add(&mut resource, "subresources", Value::Array(subresources));
    }
    add_names(&mut resource, kind);
    resource
}

fn group_value(name: &str, versions: &[&str]) -> Value {
    let named = |version: &str| json!({"groupVersion": api_version(name, version), "version": version});
    let all: Vec<Value> = versions.iter().map(|version| named(version)).collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

fn resource_value(kind: &Kind) -> Value {
    let mut resource = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.scope == Scope::Namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    add_names(&mut resource, kind);
    if kind.is_stored() {
        add(&mut resource, "storageVersionHash", json!(storage_version_hash(kind)));
    }
    resource
}

fn subresource_value(kind: &Kind, part: &Subresource) -> Value {
    let mut resource = json!({
        "name": format!("{}/{}", kind.plural, part.name),
        "singularName": "",
        "namespaced": kind.scope == Scope::Namespaced,
        "kind": part.kind,
        "verbs": part.verbs,
    });
    if (&part.group, &part.version) != (&kind.group, &kind.version) {
        add(&mut resource, "group", json!(part.group));
        add(&mut resource, "version", json!(part.version));
    }
    resource
}

fn add_names(resource: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        add(resource, "shortNames", json!(kind.short_names));
    }
    if !kind.categories.is_empty() {
        add(resource, "categories", json!(kind.categories));
    }
}

fn add(object: &mut Value, key: &str, value: Value) {
    crate::json_field::set(object, "", key, value);
}

/// First eight bytes of the hash of group, version and kind in which objects are stored: changes when a migration is due.
fn storage_version_hash(kind: &Kind) -> String {
    let (group, version) = kind.storage_api_version.rsplit_once('/').unwrap_or(("", &kind.storage_api_version));
    let hash = Sha256::digest(format!("{group}/{version}/{}", kind.kind));
    STANDARD.encode(hash.get(..8).unwrap_or_default())
}
