//! Creates objects: admission → prepare → validate → admission → allocations → storage. From the verbs; to storage.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skep_api::kinds::Scope;
use skep_api::meta;
use skep_api::object::{self, CreateContext};
use skep_storage::store::{Compare, LeaseId, Op, RangeRequest, Txn};
use skep_storage::watch_cache::Freshness;

use super::kinds::SideWrites;
use super::write::{self, Shown, WriteOptions};
use super::{Registry, Target};
use crate::admission::{self, Attributes, Operation, service_account};
use crate::object::Object;
use crate::status::ApiError;

/// How often a generated name is drawn anew when it is taken.
const NAME_TRIES: usize = 8;
/// A pod made right after its namespace waits this often for the namespace's default account, which a controller makes.
const ACCOUNT_TRIES: usize = 20;
const ACCOUNT_WAIT: Duration = Duration::from_millis(50);
/// How often allocations are drawn anew when another server took them.
const ALLOCATION_TRIES: usize = 16;

impl Registry {
    /// Creates an object given in the target's version: decoded, defaulted, its managed fields recorded.
    ///
    /// # Errors
    /// 409 when it exists; 403 and 422 by the rules; those of storage.
    pub async fn create(
        &self,
        target: &Target,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Shown, ApiError> {
        let generated = meta::name(&object).is_empty() && !meta::text(&object, "generateName").is_empty();
        let mut tries = if generated { NAME_TRIES } else { 1 };
        loop {
            tries -= 1;
            match self.create_once(target, namespace, object.clone(), options).await {
                Err(error) if error.reason == "AlreadyExists" && tries > 0 => {}
                Err(error) if error.reason == "AlreadyExists" && generated => {
                    return Err(error.with_name_conflict());
                }
                answer => return answer,
            }
        }
    }

    async fn create_once(
        &self,
        target: &Target,
        namespace: &str,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Shown, ApiError> {
        let kind = &target.kind;
        let now = write::now();
        if kind.scope == Scope::Namespaced {
            meta::set_text(&mut object, "namespace", namespace);
        }
        let name = meta::name(&object).to_owned();
        let attributes = Attributes {
            operation: Operation::Create,
            kind,
            subresource: "",
            namespace,
            name: &name,
            user: &options.user,
            dry_run: options.dry_run,
        };
        for _ in 0..ACCOUNT_TRIES {
            if !service_account::awaits_default_account(self, &attributes, &object) {
                break;
            }
            tokio::time::sleep(ACCOUNT_WAIT).await;
        }
        let verdict = admission::mutate(self, &attributes, &mut object, None).map_err(|r| r.answer(kind, &name))?;
        options.warnings.add(verdict.warnings);
        let (uid, suffix) = (write::new_uid(), write::name_suffix());
        let context = CreateContext { namespace, now: &now, uid: &uid, name_suffix: &suffix };
        object::prepare_create(kind, &mut object, &context)?;
        object::validate_create(kind, &object)?;
        options.warnings.add(kind.strategy.warnings(&object, None));
        let name = meta::name(&object).to_owned();
        let attributes = Attributes { name: &name, ..attributes };
        let verdict = admission::validate(self, &attributes, &object, None).map_err(|r| r.answer(kind, &name))?;
        options.warnings.add(verdict.warnings);
        object::canonicalize(kind, &mut object);
        self.store_new(target, &attributes, object, options).await
    }

    async fn store_new(
        &self,
        target: &Target,
        attributes: &Attributes<'_>,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Shown, ApiError> {
        let name = attributes.name;
        let key = target.resource.key(attributes.namespace, name);
        let asked = super::kinds::is_completed(&target.kind).then(|| object.clone());
        for _ in 0..ALLOCATION_TRIES {
            let mut side = self.allocate(target, &mut object, None).await?;
            self.charge(attributes, &object, None, &mut side)?;
            if options.dry_run {
                let found = self.store.range(RangeRequest::single(key)).await?;
                return match found.items.first() {
                    Some(item) => Err(self.exists(target, name, &item.value)),
                    None => Ok(Shown::Value(object)),
                };
            }
            let value = target.store(&mut object);
            let lease = if target.resource.kind.storage_prefix == "events" {
                self.event_leases.lease().await?
            } else {
                LeaseId::NONE
            };
            let mut txn = Txn::create(key.clone(), value.clone(), lease);
            side.add_to(&mut txn);
            let answer = self.store.txn(txn).await?;
            if answer.succeeded {
                let stored = Object::from_stored(&value, answer.revision, &target.resource.kind);
                return Ok(Shown::Object(Arc::new(stored.map_err(ApiError::internal)?)));
            }
            if let Some(existing) = answer.current().filter(|item| item.key == key) {
                return Err(self.exists(target, name, &existing.value));
            }
            // Somebody took an address or port, or charged a quota, between our choice and the write: choose again,
            // on what the caches know by then.
            if let Some(asked) = &asked {
                object.clone_from(asked);
            }
            target.resource.cache.get(&key, Freshness::Latest).await?;
            if let Some(quotas) = self.stored("", "resourcequotas").filter(|_| !side.updates.is_empty()) {
                quotas.resource.cache.get(&key, Freshness::Latest).await?;
            }
        }
        Err(ApiError::internal("no free address or port was found in time"))
    }

    fn exists(&self, target: &Target, name: &str, value: &[u8]) -> ApiError {
        let mut error = ApiError::already_exists(target.name(), name);
        let deleting = Object::from_stored(value, 0, &target.resource.kind).is_ok_and(|o| o.deleting);
        if deleting {
            error.message = format!("object is being deleted: {}", error.message);
        }
        error
    }
}

impl SideWrites {
    /// Adds the other keys of one write to its transaction.
    pub(super) fn add_to(&self, txn: &mut Txn) {
        for (key, value) in &self.claims {
            txn.compares.push(Compare::Absent { key: key.clone() });
            txn.success.push(Op::Put { key: key.clone(), value: value.clone(), lease: LeaseId::NONE });
            txn.failure.push(Op::Range(RangeRequest::single(key.clone())));
        }
        for (key, revision, value) in &self.updates {
            txn.compares.push(Compare::ModRevision { key: key.clone(), revision: *revision });
            txn.success.push(Op::Put { key: key.clone(), value: value.clone(), lease: LeaseId::NONE });
        }
        for key in &self.releases {
            txn.success.push(Op::Delete { range: skep_storage::key::KeyRange::single(key.clone()) });
        }
    }
}
