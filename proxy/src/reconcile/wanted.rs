//! Which element stands under each key. From [`super::Reconciler::want`]; to [`super::diff`]. Pure.
//!
//! Two Services may claim one frontend (the same external address). One of them gets it, the same one whatever came
//! first; when it goes, the other follows.

use std::collections::HashMap;
use std::sync::Arc;

use skep_proxy_ebpf::maps::service::ServiceKey;

use crate::entries::Entry;
use crate::objects::ObjectName;

#[derive(Debug)]
struct Claim {
    service: ObjectName,
    entry: Arc<Entry>,
}

/// All claims.
#[derive(Debug, Default)]
pub struct Wanted {
    /// By Service name, the first one wins.
    claims: HashMap<ServiceKey, Vec<Claim>>,
    by_service: HashMap<ObjectName, Vec<ServiceKey>>,
}

impl Wanted {
    /// The element under `key`, if one is wanted.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<&Arc<Entry>> {
        self.claims.get(key)?.first().map(|claim| &claim.entry)
    }

    /// Every key with its element.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<Entry>)> {
        self.claims.iter().filter_map(|(key, claims)| Some((key, &claims.first()?.entry)))
    }

    /// Replaces the claims of one Service; returns the keys where something changed.
    pub fn replace(&mut self, service: &ObjectName, entries: Vec<(ServiceKey, Entry)>) -> Vec<ServiceKey> {
        let keys: Vec<ServiceKey> = entries.iter().map(|(key, _)| *key).collect();
        let before = self.by_service.remove(service).unwrap_or_default();
        let mut changed = Vec::new();
        for key in before.into_iter().filter(|key| !keys.contains(key)) {
            self.withdraw(&key, service);
            changed.push(key);
        }
        for (key, entry) in entries {
            if self.claim(key, service, entry) {
                changed.push(key);
            }
        }
        if !keys.is_empty() {
            self.by_service.insert(service.clone(), keys);
        }
        changed
    }

    fn withdraw(&mut self, key: &ServiceKey, service: &ObjectName) {
        if let Some(claims) = self.claims.get_mut(key) {
            claims.retain(|claim| claim.service != *service);
            if claims.is_empty() {
                self.claims.remove(key);
            }
        }
    }

    /// Whether anything changed.
    fn claim(&mut self, key: ServiceKey, service: &ObjectName, entry: Entry) -> bool {
        // Nearly always one: room for more would be most of what a frontend costs.
        let claims = self.claims.entry(key).or_insert_with(|| Vec::with_capacity(1));
        match claims.binary_search_by(|claim| claim.service.cmp(service)) {
            Ok(at) => {
                let Some(claim) = claims.get_mut(at) else { return false };
                if *claim.entry == entry {
                    return false;
                }
                claim.entry = Arc::new(entry);
            }
            Err(at) => claims.insert(at, Claim { service: service.clone(), entry: Arc::new(entry) }),
        }
        true
    }
}
