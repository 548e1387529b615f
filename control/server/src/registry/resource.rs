//! Where one resource is stored, and its cache. From the registry; to storage.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use skep_api::conversion;
use skep_api::kinds::{Kind, Scope};
use skep_storage::key::KeyRange;
use skep_storage::store::Store;
use skep_storage::watch_cache::{Freshness, Options, WatchCache};

use crate::object::{Decoder, Object};
use crate::status::{ApiError, ResourceName};

/// The root of all keys, as upstream's.
const ROOT: &str = "/registry/";

/// One resource as it is stored; shared by all its served versions.
#[derive(Debug)]
pub struct Resource {
    /// The kind in the version that is stored.
    pub kind: Arc<Kind>,
    /// All its objects.
    pub cache: Arc<WatchCache<Object>>,
    /// `/registry/pods/`.
    prefix: String,
    /// The selectable field that watchers are indexed by.
    pub index: Option<&'static str>,
}

impl Resource {
    /// Starts the cache.
    #[must_use]
    pub fn start(store: &Arc<dyn Store>, kind: Arc<Kind>) -> Self {
        let prefix = format!("{ROOT}{}/", kind.storage_prefix);
        // Every kubelet watches its own pods.
        let index = (kind.plural == "pods" && kind.group.is_empty()).then_some("spec.nodeName");
        let position = index.and_then(|field| kind.strategy.field_labels().iter().position(|l| *l == field));
        let decoder = Decoder { kind: Arc::clone(&kind), index: position };
        let cache =
            WatchCache::start(Arc::clone(store), Bytes::from(prefix.clone()), Arc::new(decoder), Options::default());
        Self { kind, cache, prefix, index: position.and(index) }
    }

    /// The key of an object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> Bytes {
        match self.kind.scope {
            Scope::Namespaced => Bytes::from(format!("{}{namespace}/{name}", self.prefix)),
            Scope::Cluster => Bytes::from(format!("{}{name}", self.prefix)),
        }
    }

    /// The keys of all objects, or of those in one namespace.
    #[must_use]
    pub fn range(&self, namespace: &str) -> KeyRange {
        if namespace.is_empty() || self.kind.scope == Scope::Cluster {
            KeyRange::prefix(Bytes::from(self.prefix.clone()))
        } else {
            KeyRange::prefix(Bytes::from(format!("{}{namespace}/", self.prefix)))
        }
    }

    /// The part of a key after the resource's prefix: what continue tokens hold.
    #[must_use]
    pub fn relative<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key)
    }

    /// The key for a relative part.
    #[must_use]
    pub fn absolute(&self, relative: &[u8]) -> Bytes {
        Bytes::from([self.prefix.as_bytes(), relative].concat())
    }
}

/// A stored resource in the version a request speaks.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind in the request's version.
    pub kind: Arc<Kind>,
    /// Where it is stored.
    pub resource: Arc<Resource>,
}

impl Target {
    /// How errors name it.
    #[must_use]
    pub fn name(&self) -> ResourceName<'_> {
        ResourceName { group: &self.kind.group, resource: &self.kind.plural }
    }

    /// Whether objects are stored in the very form that is served.
    #[must_use]
    pub fn is_stored_form(&self) -> bool {
        self.kind.group == self.resource.kind.group && self.kind.version == self.resource.kind.version
    }

    /// An object in the request's version.
    #[must_use]
    pub fn serve(&self, object: &Object) -> Value {
        let value = object.to_value();
        if self.is_stored_form() { value } else { conversion::convert(value, &self.kind) }
    }

    /// The bytes to store for an object in the request's version; it loses its resource version.
    #[must_use]
    pub fn store(&self, object: &mut Value) -> Bytes {
        skep_api::meta::metadata_mut(object).remove("resourceVersion");
        let bytes = if self.is_stored_form() {
            skep_api::encode::to_json(object)
        } else {
            skep_api::encode::to_json(&conversion::convert(object.clone(), &self.resource.kind))
        };
        Bytes::from(bytes)
    }

    /// One object.
    ///
    /// # Errors
    /// 404 when there is none; those of the cache.
    pub async fn get(&self, namespace: &str, name: &str, freshness: Freshness) -> Result<Arc<Object>, ApiError> {
        let key = self.resource.key(namespace, name);
        let found = self.resource.cache.get(&key, freshness).await?;
        found.ok_or_else(|| ApiError::not_found(self.name(), name))
    }
}
