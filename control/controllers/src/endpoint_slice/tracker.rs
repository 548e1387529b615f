//! Remembers what we wrote, to see when the cache is behind: a stale cache would make duplicate slices. From the
//! executor and watch events; to the next round. Pure.

use crate::object_key::ObjectKey;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Slices written and deleted, per Service.
#[derive(Debug, Default)]
pub struct Tracker {
    services: Mutex<HashMap<ObjectKey, Written>>,
}

#[derive(Debug, Default)]
struct Written {
    /// uid → resource version.
    written: HashMap<String, u64>,
    deleted: HashSet<String>,
}

fn uid(slice: &EndpointSlice) -> String {
    slice.metadata.uid.clone().unwrap_or_default()
}

fn version(slice: &EndpointSlice) -> u64 {
    slice.metadata.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

impl Tracker {
    /// We created or updated this slice.
    pub fn wrote(&self, service: &ObjectKey, slice: &EndpointSlice) {
        self.services.lock().entry(service.clone()).or_default().written.insert(uid(slice), version(slice));
    }

    /// We deleted this slice.
    pub fn deleted(&self, service: &ObjectKey, slice: &EndpointSlice) {
        let mut services = self.services.lock();
        let written = services.entry(service.clone()).or_default();
        written.written.remove(&uid(slice));
        written.deleted.insert(uid(slice));
    }

    /// The cache shows that this slice is gone.
    pub fn gone(&self, service: &ObjectKey, slice: &EndpointSlice) {
        if let Some(written) = self.services.lock().get_mut(service) {
            written.written.remove(&uid(slice));
            written.deleted.remove(&uid(slice));
        }
    }

    /// The service is gone.
    pub fn forget(&self, service: &ObjectKey) {
        self.services.lock().remove(service);
    }

    /// Whether the cached slices of a service are older than what we wrote.
    pub fn is_cache_behind(&self, service: &ObjectKey, cached: &[Arc<EndpointSlice>]) -> bool {
        let mut services = self.services.lock();
        let Some(written) = services.get_mut(service) else { return false };
        let seen: HashMap<String, u64> = cached.iter().map(|slice| (uid(slice), version(slice))).collect();
        written.deleted.retain(|uid| seen.contains_key(uid));
        !written.deleted.is_empty()
            || written.written.iter().any(|(uid, version)| seen.get(uid).is_none_or(|cached| cached < version))
    }
}
