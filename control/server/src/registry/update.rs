//! Changes objects with optimistic concurrency: read → change → admission → prepare → validate → compare-and-put, again when somebody
//! else was faster. From the verbs; to storage.

use std::sync::Arc;

use serde_json::Value;
use skep_api::field::{FieldError, Path};
use skep_api::strategy::Part;
use skep_api::{meta, object};
use skep_storage::store::{KeyValue, LeaseId, RangeRequest, Txn};
use skep_storage::watch_cache::Freshness;

use super::write::{Preconditions, Shown, WriteOptions};
use super::{Registry, Target, delete};
use crate::admission::{self, Attributes, Operation};
use crate::object::Object;
use crate::status::ApiError;

/// How often a change is tried when others change the object meanwhile.
const TRIES: usize = 64;

/// Words of a lost race, as upstream's.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Which object, and which part of it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The resource.
    pub target: &'a Target,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// The part.
    pub part: Part<'a>,
}

/// Makes the new object (in the target's version) from the old one, or refuses.
pub type Change<'a> = dyn FnMut(&Value) -> Result<Value, ApiError> + Send + 'a;

enum Attempt {
    Unchanged,
    Write { new: Value, old: Value },
    Delete(Value),
}

impl Registry {
    /// Changes an object. A change that changes nothing is not written.
    ///
    /// # Errors
    /// 404 when there is none; 409 when the change names another resource version or UID; 403 and 422 by the rules; those of storage.
    pub async fn update(
        &self,
        place: Place<'_>,
        preconditions: &Preconditions,
        options: &WriteOptions,
        change: &mut Change<'_>,
    ) -> Result<Shown, ApiError> {
        let Place { target, namespace, name, .. } = place;
        let key = target.resource.key(namespace, name);
        let mut current = target.resource.cache.get(&key, Freshness::Any).await?;
        let mut is_live = false;
        for _ in 0..TRIES {
            let tried = match &current {
                None => Err(ApiError::not_found(target.name(), name)),
                Some(object) => self.attempt(place, object, preconditions, options, change),
            };
            if !is_live && !matches!(tried, Ok(Attempt::Write { .. } | Attempt::Delete(_))) {
                // The cache may lag behind: what it refuses or finds unchanged is decided on the newest state.
                is_live = true;
                let newest = self.read(target, &key).await?;
                let same = newest.as_ref().map(|o| o.revision) == current.as_ref().map(|o| o.revision);
                current = newest;
                if !same {
                    continue;
                }
            }
            let attempt = tried?;
            let Some(object) = &current else { continue };
            let (txn, value) = match attempt {
                Attempt::Unchanged => return Ok(Shown::Object(Arc::clone(object))),
                Attempt::Write { mut new, old } => {
                    let mut side = self.allocate(target, &mut new, Some(&old)).await?;
                    let attributes = attributes(place, options);
                    self.charge(&attributes, &new, Some(&old), &mut side)?;
                    if options.dry_run {
                        return Ok(Shown::Value(new));
                    }
                    let value = target.store(&mut new);
                    let lease = self.kept_lease(target).await?;
                    let mut txn = Txn::update(key.clone(), object.revision, value.clone(), lease);
                    side.add_to(&mut txn);
                    (txn, value)
                }
                Attempt::Delete(new) => {
                    if options.dry_run {
                        return Ok(Shown::Value(new));
                    }
                    let mut txn = Txn::delete(key.clone(), object.revision);
                    self.released(target, object).add_to(&mut txn);
                    let answer = self.store.txn(txn).await?;
                    if answer.succeeded {
                        return Ok(Shown::Value(new));
                    }
                    current = self.newest(target, answer.current())?;
                    is_live = true;
                    continue;
                }
            };
            let answer = self.store.txn(txn).await?;
            if answer.succeeded {
                // Often the cache has read the object already.
                let cached = target.resource.cache.peek(&key).filter(|cached| cached.revision == answer.revision);
                let stored = cached.map_or_else(|| self.decode(target, &value, answer.revision), Ok)?;
                return Ok(Shown::Object(stored));
            }
            current = self.newest(target, answer.current().filter(|item| item.key == key))?;
            is_live = true;
        }
        Err(ApiError::conflict(target.name(), name, MODIFIED))
    }

    /// One try on one state; does nothing but compute.
    fn attempt(
        &self,
        place: Place<'_>,
        current: &Object,
        preconditions: &Preconditions,
        options: &WriteOptions,
        change: &mut Change<'_>,
    ) -> Result<Attempt, ApiError> {
        let Place { target, name, part, .. } = place;
        let kind = &target.kind;
        let old = target.serve(current);
        check(place, preconditions, &old)?;
        let mut new = change(&old)?;
        let asked = meta::resource_version(&new).to_owned();
        let version = current.revision.to_string();
        if asked.is_empty() && !kind.strategy.allow_unconditional_update() {
            let path = Path::new("metadata").child("resourceVersion");
            let error = FieldError::invalid_number(&path, 0, "must be specified for an update");
            return Err(ApiError::invalid(&kind.group, &kind.plural, name, vec![error]));
        }
        if !asked.is_empty() && asked != version {
            return Err(ApiError::conflict(target.name(), name, MODIFIED));
        }
        let attributes = attributes(place, options);
        let verdict =
            admission::mutate(self, &attributes, &mut new, Some(&old)).map_err(|r| r.answer(&target.kind, name))?;
        options.warnings.add(verdict.warnings);
        super::kinds::before_update(kind, part, &mut new, &old);
        object::prepare_update(kind, part, &mut new, &old);
        object::validate_update(kind, part, &new, &old).map_err(|mut invalid| {
            // Both event APIs speak with the words of the core group.
            if kind.kind == "Event" {
                invalid.group.clear();
            }
            invalid
        })?;
        options.warnings.add(kind.strategy.warnings(&new, Some(&old)));
        let verdict =
            admission::validate(self, &attributes, &new, Some(&old)).map_err(|r| r.answer(&target.kind, name))?;
        options.warnings.add(verdict.warnings);
        object::canonicalize(kind, &mut new);
        meta::set_text(&mut new, "resourceVersion", &version);
        if delete::is_finished(target, &new, &old) {
            return Ok(Attempt::Delete(new));
        }
        Ok(if new == old { Attempt::Unchanged } else { Attempt::Write { new, old } })
    }

    /// The newest state in storage.
    pub(super) async fn read(&self, target: &Target, key: &bytes::Bytes) -> Result<Option<Arc<Object>>, ApiError> {
        let found = self.store.range(RangeRequest::single(key.clone())).await?;
        self.newest(target, found.items.first())
    }

    pub(super) fn newest(&self, target: &Target, item: Option<&KeyValue>) -> Result<Option<Arc<Object>>, ApiError> {
        item.map(|item| self.decode(target, &item.value, item.mod_revision)).transpose()
    }

    pub(super) fn decode(&self, target: &Target, value: &[u8], revision: u64) -> Result<Arc<Object>, ApiError> {
        Object::from_stored(value, revision, &target.resource.kind).map(Arc::new).map_err(ApiError::internal)
    }

    /// Events live on for their full time after every change; everything else has no lease.
    async fn kept_lease(&self, target: &Target) -> Result<LeaseId, ApiError> {
        if target.resource.kind.storage_prefix == "events" {
            Ok(self.event_leases.lease().await?)
        } else {
            Ok(LeaseId::NONE)
        }
    }
}

fn attributes<'a>(place: Place<'a>, options: &'a WriteOptions) -> Attributes<'a> {
    Attributes {
        operation: Operation::Update,
        kind: &place.target.kind,
        subresource: place.part.subresource(),
        namespace: place.namespace,
        name: place.name,
        user: &options.user,
        dry_run: options.dry_run,
    }
}

/// Whether the object is the one the request means.
fn check(place: Place<'_>, wanted: &Preconditions, old: &Value) -> Result<(), ApiError> {
    let (uid, version) = (meta::uid(old), meta::resource_version(old));
    let why = if !wanted.uid.is_empty() && wanted.uid != uid {
        format!("UID in precondition: {}, UID in object meta: {uid}", wanted.uid)
    } else if !wanted.resource_version.is_empty() && wanted.resource_version != version {
        let asked = &wanted.resource_version;
        format!("ResourceVersion in precondition: {asked}, ResourceVersion in object meta: {version}")
    } else {
        return Ok(());
    };
    let key = place.target.resource.key(place.namespace, place.name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {why}",
        String::from_utf8_lossy(&key)
    );
    Err(ApiError::conflict(place.target.name(), place.name, why))
}
