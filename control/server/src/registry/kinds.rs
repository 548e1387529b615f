//! Where a kind differs in the registry: what else is written with it, and how its deletion is answered. From create, update and delete.

mod certificate;
pub mod service;

use bytes::Bytes;
use serde_json::{Value, json};
use skep_api::kinds::Kind;
use skep_api::meta;
use skep_api::strategy::Part;

use super::{Registry, Target};
use crate::admission::{Attributes, resource_quota};
use crate::object::Object;
use crate::status::ApiError;

/// Other keys that are written in the same transaction as an object, so that a crash leaves neither without the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideWrites {
    /// Keys that must be free, with their values.
    pub claims: Vec<(Bytes, Bytes)>,
    /// Keys that are deleted.
    pub releases: Vec<Bytes>,
    /// Keys that must still be at a revision, with their new values.
    pub updates: Vec<(Bytes, u64, Bytes)>,
}

impl Registry {
    /// Chooses what an object needs besides itself (cluster IPs, node ports), fills it in, and says what to write with it.
    pub(super) async fn allocate(
        &self,
        target: &Target,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<SideWrites, ApiError> {
        if is_completed(&target.kind) {
            return service::allocate(self, &self.ranges, object, old).await;
        }
        Ok(SideWrites::default())
    }

    /// Adds what the namespace's quotas are charged for a write.
    pub(super) fn charge(
        &self,
        attributes: &Attributes<'_>,
        object: &Value,
        old: Option<&Value>,
        side: &mut SideWrites,
    ) -> Result<(), ApiError> {
        let charges = resource_quota::charges(self, attributes, object, old)
            .map_err(|r| r.answer(attributes.kind, attributes.name))?;
        let Some(quotas) = self.stored("", "resourcequotas") else { return Ok(()) };
        for charge in charges {
            let mut quota = charge.quota;
            let revision = meta::resource_version(&quota).parse().unwrap_or_default();
            let key = quotas.resource.key(meta::namespace(&quota), meta::name(&quota));
            side.updates.push((key, revision, quotas.store(&mut quota)));
        }
        Ok(())
    }

    /// What to delete together with an object.
    pub(super) fn release(&self, target: &Target, object: &Object) -> SideWrites {
        if is(&target.kind, "", "services") {
            return service::release(self, &object.to_value());
        }
        SideWrites::default()
    }
}

/// Whether [`Registry::allocate`] fills in what such an object needs.
pub(super) fn is_completed(kind: &Kind) -> bool {
    is(kind, "", "services")
}

/// Takes over from the old object what an update may leave out.
pub fn before_update(kind: &Kind, part: Part<'_>, new: &mut Value, old: &Value) {
    if is(kind, "certificates.k8s.io", "certificatesigningrequests") {
        certificate::condition_times(new, old, &super::write::now());
    }
    if part != Part::Whole {
        return;
    }
    if is(kind, "", "services") {
        service::before_update(new, old);
    }
    if is(kind, "", "namespaces") {
        // Selectors of namespaces rely on this label.
        let name = meta::name(new).to_owned();
        let labels = meta::metadata_mut(new).entry("labels").or_insert_with(|| json!({}));
        meta::as_map_mut(labels).insert("kubernetes.io/metadata.name".to_owned(), json!(name));
    }
}

/// Whether a kind is this built-in resource.
#[must_use]
pub fn is(kind: &Kind, group: &str, plural: &str) -> bool {
    kind.group == group && kind.plural == plural
}

/// Whether a deletion answers with the last state of the object instead of a `Status`.
#[must_use]
pub fn returns_deleted(kind: &Kind) -> bool {
    match kind.group.as_str() {
        "storage.k8s.io" | "resource.k8s.io" => true,
        "" => matches!(
            kind.plural.as_str(),
            "pods"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "podtemplates"
                | "resourcequotas"
        ),
        _ => false,
    }
}

/// What becomes of dependents when a deletion does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultPropagation {
    /// They are collected in the background.
    Background,
    /// They are orphaned: what the first versions of some kinds promised.
    Orphan,
    /// The kind has no dependents.
    Unsupported,
}

/// The kind's default.
#[must_use]
pub fn default_propagation(kind: &Kind) -> DefaultPropagation {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("" | "events.k8s.io", "events") => DefaultPropagation::Unsupported,
        ("", "replicationcontrollers") | ("batch", "jobs") => DefaultPropagation::Orphan,
        _ => DefaultPropagation::Background,
    }
}
