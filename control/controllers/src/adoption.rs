//! Makes an owner the controller of an object, or ends that. From decisions in [`crate::owners`]; to the API server.

use crate::cluster::{Cluster, patched};
use crate::informer::Watched;
use crate::object_key::ObjectKey;
use crate::owners::{Claim, controller_reference};
use crate::sync::{SyncError, ignore_missing, is_code};
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::Patch;
use serde_json::{Value, json};
use std::sync::Arc;

/// Adopts and releases as claimed; answers what is the owner's then.
pub async fn settle<K, O>(cluster: &Cluster, claim: Claim<K>, owner: &O) -> Result<Vec<Arc<K>>, SyncError>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
    O: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let mut owned = claim.owned;
    if !claim.adopt.is_empty() && may_adopt(cluster, owner).await? {
        for orphan in claim.adopt {
            owned.extend(adopt(cluster, &*orphan, owner).await?);
        }
    }
    for object in claim.release {
        release(cluster, &*object, owner.meta().uid.as_deref().unwrap_or_default()).await?;
    }
    Ok(owned)
}

/// Makes `owner` the controller of an orphan; `None` when the orphan is gone.
async fn adopt<K, O>(cluster: &Cluster, object: &K, owner: &O) -> Result<Option<Arc<K>>, SyncError>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
    O: Resource<DynamicType = ()>,
{
    let patch = json!({"metadata": {
        "uid": object.meta().uid,
        "ownerReferences": [controller_reference(owner)],
    }});
    patch_meta(cluster, object, patch).await
}

/// Ends the control of the owner with this uid over an object.
async fn release<K>(cluster: &Cluster, object: &K, owner_uid: &str) -> Result<(), SyncError>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let patch = json!({"metadata": {
        "uid": object.meta().uid,
        "ownerReferences": [{"$patch": "delete", "uid": owner_uid}],
    }});
    patch_meta(cluster, object, patch).await.map(drop)
}

/// Whether the owner may still adopt: the cache may not know yet that it is going or was replaced.
async fn may_adopt<O>(cluster: &Cluster, owner: &O) -> Result<bool, SyncError>
where
    O: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let key = ObjectKey::of(owner);
    let live = cluster.api::<O>(&key.namespace).get(&key.name).await?;
    if live.meta().uid != owner.meta().uid {
        return Err(SyncError::NotYet(format!("{key} was replaced by another of its name")));
    }
    Ok(live.meta().deletion_timestamp.is_none())
}

async fn patch_meta<K>(cluster: &Cluster, object: &K, patch: Value) -> Result<Option<Arc<K>>, SyncError>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
{
    let key = ObjectKey::of(object);
    let outcome = cluster.api::<K>(&key.namespace).patch(&key.name, &patched(), &Patch::Strategic(patch)).await;
    match ignore_missing(outcome) {
        Ok(patched) => Ok(patched.map(Arc::new)),
        // Invalid: the uid differs (another object took the name) or the references are gone already.
        Err(error) if is_code(&error, 422) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
