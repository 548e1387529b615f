//! `OpenAPI` documents of the served kinds, for `kubectl explain`, validation and patches. From the tables of kinds and types; to `/openapi`.
//!
//! kinds of a group version → [`paths`] (operations) + [`definitions`] (types they reach) → JSON, kept gzipped → also [`gnostic`] protobuf (v2)
//!
//! A document is built when it is first asked for. Kept is only its gzip form (all together well below a megabyte).

mod definitions;
mod enums;
mod gnostic;
mod leaf;
mod paths;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha512};
use skep_api::kinds::Kinds;

use self::definitions::Definitions;

/// Media type by which clients ask for the protobuf form of v2.
const V2_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// Media type of the answer: a `Content-Type` may hold no `@`.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const JSON: &str = "application/json";

/// Which version of `OpenAPI` a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Swagger 2.0: one document for everything.
    V2,
    /// `OpenAPI` 3.0: a document per group version.
    V3,
}

impl Flavour {
    fn reference(self, type_name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{type_name}"),
            Self::V3 => format!("#/components/schemas/{type_name}"),
        }
    }
}

/// A finished document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The document, gzipped.
    pub gzip: Bytes,
    /// Hash of the plain document, upper-case hex.
    pub hash: String,
    /// `Content-Type` of the plain document.
    pub content_type: &'static str,
}

impl Document {
    fn new(plain: &[u8], content_type: &'static str) -> Self {
        let hash = Sha512::digest(plain).iter().map(|byte| format!("{byte:02X}")).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        // Writing to memory does not fail; were it to, the empty answer would show it.
        let gzip = encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default();
        Self { gzip: Bytes::from(gzip), hash, content_type }
    }

    /// The value of the `ETag` header.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.hash)
    }

    /// The document for clients that cannot unpack.
    #[must_use]
    pub fn plain(&self) -> Bytes {
        let mut plain = Vec::new();
        let unpacked = flate2::read::GzDecoder::new(self.gzip.as_ref()).read_to_end(&mut plain);
        Bytes::from(unpacked.map_or_else(|_| Vec::new(), |_| plain))
    }
}

/// The documents of a set of kinds.
#[derive(Debug)]
pub struct OpenApi {
    kinds: &'static Kinds,
    /// By path below `/openapi/v3/`; `v2` and `v2.pb` hold the older form.
    made: Mutex<BTreeMap<String, Arc<Document>>>,
}

impl OpenApi {
    /// Nothing is built yet.
    #[must_use]
    pub fn new(kinds: &'static Kinds) -> Self {
        Self { kinds, made: Mutex::new(BTreeMap::new()) }
    }

    /// `/openapi/v3`: where the documents are, with their hashes.
    #[must_use]
    pub fn root(&self) -> Arc<Document> {
        self.once("", || {
            let paths: Map<String, Value> = self
                .group_versions()
                .map(|(path, _, _)| {
                    let hash = self.document(&path).map_or_else(String::new, |document| document.hash.clone());
                    let link = json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")});
                    (path, link)
                })
                .collect();
            Document::new(json!({"paths": paths}).to_string().as_bytes(), JSON)
        })
    }

    /// `/openapi/v3/<path>`: the document of one group version, such as `apis/apps/v1`; none when there is no such version.
    #[must_use]
    pub fn document(&self, path: &str) -> Option<Arc<Document>> {
        let (path, group, version) = self.group_versions().find(|(known, _, _)| known == path)?;
        Some(self.once(&path, || {
            let document = self.build(Flavour::V3, |g, v| g == group && v == version);
            Document::new(document.to_string().as_bytes(), JSON)
        }))
    }

    /// `/openapi/v2` as JSON.
    #[must_use]
    pub fn v2_json(&self) -> Arc<Document> {
        self.once("v2", || Document::new(self.build(Flavour::V2, |_, _| true).to_string().as_bytes(), JSON))
    }

    /// `/openapi/v2` as protobuf.
    #[must_use]
    pub fn v2_protobuf(&self) -> Arc<Document> {
        self.once("v2.pb", || {
            let document = self.build(Flavour::V2, |_, _| true);
            Document::new(&gnostic::encode(&document), V2_PROTOBUF)
        })
    }

    fn once(&self, key: &str, build: impl FnOnce() -> Document) -> Arc<Document> {
        if let Some(document) = self.made.lock().get(key) {
            return Arc::clone(document);
        }
        // Built outside the lock: two first callers may both build, and agree.
        let document = Arc::new(build());
        self.made.lock().insert(key.to_owned(), Arc::clone(&document));
        document
    }

    /// Path below `/openapi/v3/`, group and version.
    fn group_versions(&self) -> impl Iterator<Item = (String, &'static str, &'static str)> {
        self.kinds.groups().into_iter().flat_map(|(group, versions)| {
            versions.into_iter().map(move |version| {
                let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                (path, group, version)
            })
        })
    }

    fn build(&self, flavour: Flavour, wanted: impl Fn(&str, &str) -> bool) -> Value {
        let mut definitions = Definitions::new(flavour);
        let mut operations = Map::new();
        for kind in self.kinds.all().iter().filter(|kind| wanted(&kind.group, &kind.version)) {
            paths::add(kind, flavour, &mut definitions, &mut operations);
        }
        let info = json!({"title": "Kubernetes", "version": "v1.34.0"});
        let definitions = definitions.finish(self.kinds);
        match flavour {
            Flavour::V2 => json!({"swagger": "2.0", "info": info, "paths": operations, "definitions": definitions}),
            Flavour::V3 => {
                json!({"openapi": "3.0.0", "info": info, "paths": operations, "components": {"schemas": definitions}})
            }
        }
    }
}

/// Whether an `Accept` header asks for v2 in protobuf rather than JSON.
#[must_use]
pub fn v2_wants_protobuf(accept: &str) -> bool {
    let entries = accept.split(',').map(|entry| entry.split(';').next().unwrap_or_default().trim());
    for media in entries {
        match media {
            V2_ASKED | V2_PROTOBUF | "application/com.github.googleapis.gnostic.OpenAPIv2@68f4ded+protobuf" => {
                return true;
            }
            "application/json" | "application/*" | "*/*" => return false,
            _ => {}
        }
    }
    false
}
