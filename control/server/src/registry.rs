//! Every stored resource with its cache, and the rules of reading and writing that are the same for all kinds. From the verbs; to storage.
//!
//! [`resource`] (keys and cache) · [`mod@write`] (who writes how) → [`create`], [`update`], [`delete`] → storage; [`kinds`] holds what differs.

pub mod bindings;
pub mod create;
pub mod delete;
pub mod kinds;
pub mod lister;
pub mod resource;
pub mod update;
pub mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use skep_api::kinds::{Kind, Kinds};
use skep_storage::lease::LeasePool;
use skep_storage::store::Store;
use skep_storage::watch_cache::CacheError;

pub use resource::{Resource, Target};

use crate::config::Config;

/// How long events are kept.
const EVENT_TTL: Duration = Duration::from_secs(3600);
/// How long the first fill of all caches may take.
const FILL_TIMEOUT: Duration = Duration::from_secs(60);

/// All resources.
#[derive(Debug)]
pub struct Registry {
    kinds: &'static Kinds,
    resources: HashMap<String, Arc<Resource>>,
    /// The stored kinds by plural: rules ask for them by group and plural again and again.
    stored: HashMap<String, Vec<Target>>,
    bindings: bindings::Bindings,
    store: Arc<dyn Store>,
    event_leases: LeasePool,
    ranges: kinds::service::Ranges,
}

impl Registry {
    /// Starts the caches of all stored kinds and waits until they are filled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(store: Arc<dyn Store>, kinds: &'static Kinds, config: &Config) -> Result<Self, CacheError> {
        let mut resources: HashMap<String, Arc<Resource>> = HashMap::new();
        for kind in kinds.all().iter().filter(|k| k.is_stored()) {
            if !resources.contains_key(&kind.storage_prefix) {
                let stored = stored_kind(kinds, kind);
                resources.insert(kind.storage_prefix.clone(), Arc::new(Resource::start(&store, stored)));
            }
        }
        for resource in resources.values() {
            resource.cache.ready(FILL_TIMEOUT).await?;
        }
        let mut stored: HashMap<String, Vec<Target>> = HashMap::new();
        for kind in kinds.all().iter().filter(|k| k.is_stored()) {
            let of_plural = stored.entry(kind.plural.clone()).or_default();
            if let Some(resource) = resources.get(&kind.storage_prefix)
                && of_plural.iter().all(|target| target.kind.group != kind.group)
            {
                of_plural.push(Target { kind: Arc::clone(kind), resource: Arc::clone(resource) });
            }
        }
        let event_leases = LeasePool::new(Arc::clone(&store), EVENT_TTL);
        let ranges = kinds::service::Ranges::new(&config.service_cidrs, config.node_ports.clone());
        Ok(Self { kinds, resources, stored, bindings: bindings::Bindings::default(), store, event_leases, ranges })
    }

    /// The table of kinds.
    #[must_use]
    pub fn kinds(&self) -> &'static Kinds {
        self.kinds
    }

    /// The store, for health checks.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A stored resource in one version.
    #[must_use]
    pub fn target(&self, group: &str, version: &str, plural: &str) -> Option<Target> {
        self.target_of(self.kinds.by_resource(group, version, plural)?)
    }

    /// A stored kind.
    #[must_use]
    pub fn target_of(&self, kind: &Arc<Kind>) -> Option<Target> {
        let resource = self.resources.get(&kind.storage_prefix)?;
        Some(Target { kind: Arc::clone(kind), resource: Arc::clone(resource) })
    }

    /// A built-in resource in the version it is stored in, by group and plural.
    #[must_use]
    pub fn stored(&self, group: &str, plural: &str) -> Option<Target> {
        self.stored.get(plural)?.iter().find(|target| target.kind.group == group).cloned()
    }
}

/// The kind whose form is stored for `kind`.
fn stored_kind(kinds: &Kinds, kind: &Arc<Kind>) -> Arc<Kind> {
    let stored = skep_api::kinds::split_api_version(&kind.storage_api_version)
        .and_then(|(group, version)| kinds.by_kind(group, version, &kind.kind));
    Arc::clone(stored.unwrap_or(kind))
}
