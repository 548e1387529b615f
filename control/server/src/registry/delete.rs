//! Deletes objects: at once, after a grace period, or when the last finalizer is gone. From the verbs; to storage.
//!
//! The order of decisions is that of upstream's generic store (registry/store.go and rest/delete.go, v1.34); [`mod@plan`] is pure.

pub mod plan;

use std::sync::Arc;

use serde_json::{Value, json};
use skep_api::{meta, object};
use skep_storage::store::{LeaseId, Txn};
use skep_storage::watch_cache::{Freshness, ListAt, ListRequest};

use self::plan::{Plan, plan};
use super::kinds::SideWrites;
use super::write::{self, Preconditions, Shown, WriteOptions};
use super::{Registry, Target, kinds};
use crate::admission::{self, Attributes, Operation};
use crate::object::Object;
use crate::selection::Selection;
use crate::status::{ApiError, ResourceName};

pub use plan::is_finished;

/// What a deletion asks for, checked.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`.
    pub grace_period_seconds: Option<i64>,
    /// `preconditions`.
    pub preconditions: Preconditions,
    /// What becomes of dependents.
    pub propagation: Option<Propagation>,
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner and stay.
    Orphan,
    /// They are deleted after the owner.
    Background,
    /// They are deleted before the owner.
    Foreground,
}

const TRIES: usize = 64;

/// Whether the object is the one the request means. Upstream names the kind here, not the resource.
fn check(target: &Target, name: &str, wanted: &Preconditions, old: &Value) -> Result<(), ApiError> {
    let (uid, version) = (meta::uid(old), meta::resource_version(old));
    let why = if !wanted.uid.is_empty() && wanted.uid != uid {
        let asked = &wanted.uid;
        format!(
            "the UID in the precondition ({asked}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )
    } else if !wanted.resource_version.is_empty() && wanted.resource_version != version {
        let asked = &wanted.resource_version;
        format!(
            "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        )
    } else {
        return Ok(());
    };
    Err(ApiError::conflict(ResourceName { group: &target.kind.group, resource: &target.kind.kind }, name, why))
}

impl Registry {
    /// Deletes one object; true when it is gone.
    ///
    /// # Errors
    /// 404, 409 when a precondition does not hold, 403 by admission; those of storage.
    pub async fn delete(
        &self,
        target: &Target,
        namespace: &str,
        name: &str,
        asked: &DeleteOptions,
        options: &WriteOptions,
    ) -> Result<Shown, ApiError> {
        let key = target.resource.key(namespace, name);
        // The first state must be fresh: what is decided on it may not be checked again by a write.
        let mut current = self.read(target, &key).await?;
        for _ in 0..TRIES {
            let Some(object) = current.as_ref() else { return Err(ApiError::not_found(target.name(), name)) };
            let old = target.serve(object);
            check(target, name, &asked.preconditions, &old)?;
            let attributes = Attributes {
                operation: Operation::Delete,
                kind: &target.kind,
                subresource: "",
                namespace,
                name,
                user: &options.user,
                dry_run: options.dry_run,
            };
            let verdict = admission::validate(self, &attributes, &Value::Null, Some(&old))
                .map_err(|r| r.answer(&target.kind, name))?;
            options.warnings.add(verdict.warnings);
            let (new, then_gone) = match plan(&target.kind, &old, asked, &write::now()) {
                Plan::Nothing => return Ok(self.deleted(target, Shown::Object(Arc::clone(object)), &old)),
                Plan::Gone => {
                    if !options.dry_run {
                        let mut txn = Txn::delete(key.clone(), object.revision);
                        self.released(target, object).add_to(&mut txn);
                        let answer = self.store.txn(txn).await?;
                        if !answer.succeeded {
                            current = self.newest(target, answer.current())?;
                            continue;
                        }
                        let last = Arc::new(object.at_revision(answer.revision));
                        return Ok(self.deleted(target, Shown::Object(last), &old));
                    }
                    return Ok(self.deleted(target, Shown::Object(Arc::clone(object)), &old));
                }
                Plan::Mark { object, then_gone } => (object, then_gone),
            };
            let mut new = new;
            object::canonicalize(&target.kind, &mut new);
            if options.dry_run {
                return Ok(Shown::Value(new));
            }
            let mut revision = object.revision;
            let mut marked = Arc::clone(object);
            if new != old {
                let value = target.store(&mut new);
                let answer = self.store.txn(Txn::update(key.clone(), revision, value.clone(), LeaseId::NONE)).await?;
                if !answer.succeeded {
                    current = self.newest(target, answer.current())?;
                    continue;
                }
                revision = answer.revision;
                marked = self.decode(target, &value, revision)?;
            }
            if !then_gone {
                return Ok(Shown::Object(marked));
            }
            let mut txn = Txn::delete(key.clone(), revision);
            self.released(target, &marked).add_to(&mut txn);
            let answer = self.store.txn(txn).await?;
            // When somebody (a kubelet) changed or finished it meanwhile, the deletion is under way all the same.
            let last =
                if answer.succeeded { Arc::new(marked.at_revision(answer.revision)) } else { Arc::clone(&marked) };
            if answer.succeeded || answer.current().is_none() {
                let old = target.serve(&last);
                return Ok(self.deleted(target, Shown::Object(last), &old));
            }
            current = self.newest(target, answer.current())?;
        }
        Err(ApiError::conflict(target.name(), name, super::update::MODIFIED))
    }

    /// Deletes every selected object of a namespace (or of the cluster); answers the list of what was deleted.
    ///
    /// # Errors
    /// The first failure other than 404.
    pub async fn delete_collection(
        &self,
        target: &Target,
        namespace: &str,
        selection: &Selection,
        limit: usize,
        asked: &DeleteOptions,
        options: &WriteOptions,
    ) -> Result<Shown, ApiError> {
        let list = target
            .resource
            .cache
            .list(ListRequest {
                range: target.resource.range(namespace),
                at: ListAt::Newest(Freshness::Latest),
                limit,
                filter: selection.filter(),
            })
            .await?;
        let mut items = Vec::with_capacity(list.items.len());
        for item in &list.items {
            match self.delete(target, &item.namespace, &item.name, asked, options).await {
                Ok(_) => items.push(target.serve(item)),
                Err(error) if error.code == http::StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        for item in &mut items {
            if let Some(map) = item.as_object_mut() {
                map.remove("kind");
                map.remove("apiVersion");
            }
        }
        Ok(Shown::Value(json!({
            "kind": target.kind.list_kind,
            "apiVersion": target.kind.api_version(),
            "metadata": {"resourceVersion": list.revision.to_string()},
            "items": items,
        })))
    }

    /// The answer to a finished deletion: the last state for some kinds, a `Status` for the others.
    fn deleted(&self, target: &Target, last: Shown, old: &Value) -> Shown {
        if kinds::returns_deleted(&target.kind) {
            return last;
        }
        let mut details = json!({"name": meta::name(old), "kind": target.kind.plural, "uid": meta::uid(old)});
        if let (Some(map), false) = (details.as_object_mut(), target.kind.group.is_empty()) {
            map.insert("group".to_owned(), json!(target.kind.group));
        }
        Shown::Value(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
        }))
    }

    /// Keys that belong to an object which goes away.
    pub(super) fn released(&self, target: &Target, object: &Object) -> SideWrites {
        self.release(target, object)
    }
}
