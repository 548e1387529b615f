//! Controlling owners: who controls an object, which objects an owner may adopt or must release. From stores; to the
//! controllers of workloads. The decision is pure.

use crate::label_match::Selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use std::sync::Arc;

/// The owner reference with `controller: true`, if any.
pub fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    controller_in(object.meta())
}

/// The owner reference with `controller: true` in `meta`, if any.
pub fn controller_in(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// A controlling owner reference to `owner`, which blocks the owner's foreground deletion.
pub fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What becomes of the objects that an owner might have.
#[derive(Debug)]
pub struct Claim<K> {
    /// Owned, and matched by the selector.
    pub owned: Vec<Arc<K>>,
    /// Matched, without owner: to be adopted.
    pub adopt: Vec<Arc<K>>,
    /// Owned, no longer matched: to be released.
    pub release: Vec<Arc<K>>,
}

/// Sorts candidates (objects owned by `owner`, and orphans of its namespace) into owned, to adopt and to release.
pub fn claim<K: Resource>(
    candidates: impl IntoIterator<Item = Arc<K>>,
    owner: &ObjectMeta,
    selector: &Selector,
) -> Claim<K> {
    let (owner_uid, owner_deleting) = (owner.uid.as_deref().unwrap_or_default(), owner.deletion_timestamp.is_some());
    let mut claim = Claim { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for object in candidates {
        let meta = object.meta();
        let matched = selector.matches(meta.labels.as_ref());
        match controller_in(meta) {
            Some(owner) if owner.uid != owner_uid => {}
            Some(_) if matched => claim.owned.push(object),
            Some(_) if owner_deleting => {}
            Some(_) => claim.release.push(object),
            None if matched && !owner_deleting && meta.deletion_timestamp.is_none() => claim.adopt.push(object),
            None => {}
        }
    }
    claim
}
