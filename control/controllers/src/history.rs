//! Revisions of StatefulSets and DaemonSets, kept as ControllerRevisions (kubectl reads them for history and undo). From
//! templates; to the controllers. The decision ([`choose`]) is pure.

use crate::adoption::settle;
use crate::cluster::{Cluster, patched, written};
use crate::informer::Watched;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use crate::owners::{Claim, claim, controller_reference};
use crate::sync::{SyncError, has_reason, ignore_missing};
use crate::template_hash::hash;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::Resource;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Label of pods with the revision that they were made from.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// Label of revisions with the hash of their data.
const HASH: &str = "controller.kubernetes.io/hash";

/// The hash of a revision.
pub fn hash_of(revision: &ControllerRevision) -> &str {
    revision.metadata.labels.as_ref().and_then(|labels| labels.get(HASH)).map_or("", String::as_str)
}

/// The name of a revision.
pub fn name_of(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

/// What a revision keeps: a patch that puts the template back.
pub fn data_of(template: &PodTemplateSpec) -> Result<Value, serde_json::Error> {
    let mut template = serde_json::to_value(template)?;
    template["$patch"] = json!("replace");
    Ok(json!({"spec": {"template": template}}))
}

/// The template that a revision keeps.
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.as_ref()?.0.pointer("/spec/template")?;
    serde_json::from_value(template.clone()).ok()
}

/// What to do to have a revision of the current template.
#[derive(Debug)]
pub enum Choice {
    /// The newest is it.
    Keep(Arc<ControllerRevision>),
    /// An older one is it and becomes the newest: a rollback.
    Renumber(Arc<ControllerRevision>, i64),
    /// There is none; the new one has this number.
    Create(i64),
}

/// Looks for the revision with this data; `revisions` in ascending order.
pub fn choose(revisions: &[Arc<ControllerRevision>], data: &Value) -> Choice {
    let last = revisions.last().map_or(0, |revision| revision.revision);
    let same = |revision: &&Arc<ControllerRevision>| {
        revision.data.as_ref().is_some_and(|kept| hash(&kept.0, None) == hash(data, None))
    };
    match revisions.iter().rev().find(same) {
        Some(found) if found.revision == last => Choice::Keep(Arc::clone(found)),
        Some(found) => Choice::Renumber(Arc::clone(found), last.saturating_add(1)),
        None => Choice::Create(last.saturating_add(1)),
    }
}

/// The revisions of `owner` in ascending order; orphans with its labels are adopted.
pub async fn revisions<O>(
    cluster: &Cluster,
    owner: &O,
    selector: &Selector,
) -> Result<Vec<Arc<ControllerRevision>>, SyncError>
where
    O: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let candidates = cluster.informers.controller_revisions.claimable_by(owner.meta());
    // Those that no longer match stay with their owner.
    let claim = Claim { release: Vec::new(), ..claim(candidates, owner.meta(), selector) };
    let mut revisions = settle(cluster, claim, owner).await?;
    revisions.sort_by(|a, b| a.revision.cmp(&b.revision).then_with(|| name_of(a).cmp(name_of(b))));
    Ok(revisions)
}

/// The revision of the current template, made if there is none. `collisions` is raised when its name is taken.
pub async fn current_revision<O>(
    cluster: &Cluster,
    owner: &O,
    template: &PodTemplateSpec,
    revisions: &[Arc<ControllerRevision>],
    collisions: &mut i32,
) -> Result<Arc<ControllerRevision>, SyncError>
where
    O: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let data = data_of(template)?;
    let key = ObjectKey::of(owner);
    let api = cluster.api::<ControllerRevision>(&key.namespace);
    match choose(revisions, &data) {
        Choice::Keep(revision) => Ok(revision),
        Choice::Renumber(revision, number) => {
            let patch = Patch::Merge(json!({"revision": number}));
            Ok(Arc::new(api.patch(name_of(&revision), &patched(), &patch).await?))
        }
        Choice::Create(number) => {
            let hash = hash(&data, Some(*collisions));
            let mut labels: BTreeMap<String, String> =
                template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
            labels.insert(HASH.to_owned(), hash.clone());
            let revision = ControllerRevision {
                metadata: ObjectMeta {
                    name: Some(format!("{}-{hash}", key.name)),
                    namespace: Some(key.namespace.clone()),
                    labels: Some(labels),
                    annotations: owner.meta().annotations.clone(),
                    owner_references: Some(vec![controller_reference(owner)]),
                    ..ObjectMeta::default()
                },
                data: Some(RawExtension(data.clone())),
                revision: number,
            };
            match api.create(&written(), &revision).await {
                Ok(created) => Ok(Arc::new(created)),
                Err(error) if has_reason(&error, "AlreadyExists") => {
                    let existing = api.get(name_of(&revision)).await?;
                    if existing.data.as_ref().map(|kept| &kept.0) == Some(&data) {
                        return Ok(Arc::new(existing));
                    }
                    *collisions = collisions.saturating_add(1);
                    Err(SyncError::NotYet(format!("revision name {} is taken", name_of(&revision))))
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// Deletes the oldest revisions that nothing uses beyond `limit`.
pub async fn truncate(
    cluster: &Cluster,
    revisions: &[Arc<ControllerRevision>],
    in_use: &HashSet<String>,
    limit: i32,
) -> Result<(), SyncError> {
    let idle: Vec<_> = revisions
        .iter()
        .filter(|revision| !in_use.contains(name_of(revision)) && !in_use.contains(hash_of(revision)))
        .collect();
    let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    for revision in idle.into_iter().take(surplus) {
        let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
        let api = cluster.api::<ControllerRevision>(namespace);
        ignore_missing(api.delete(name_of(revision), &DeleteParams::default()).await)?;
    }
    Ok(())
}
