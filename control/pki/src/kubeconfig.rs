//! Kubeconfig files: made for a user, and merged into the one that kubectl reads.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::certificate::KeyedCertificate;
use crate::{PkiError, secret_file};

/// What a kubeconfig says: one cluster, one user, one context.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// Name of the context and of the cluster.
    pub context: String,
    /// Name of the user entry.
    pub user: String,
    /// `https://host:port`.
    pub server: String,
    /// The cluster's CA.
    pub ca_pem: String,
    /// The user's certificate and key.
    pub credentials: KeyedCertificate,
}

impl Kubeconfig {
    /// The document. JSON is YAML, and kubectl reads it as such; kubectl's own writer will make YAML of it.
    #[must_use]
    pub fn document(&self) -> Value {
        let encode = |pem: &str| STANDARD.encode(pem);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.context, "cluster": {"server": self.server, "certificate-authority-data": encode(&self.ca_pem)}}],
            "users": [{"name": self.user, "user": {
                "client-certificate-data": encode(&self.credentials.cert_pem),
                "client-key-data": encode(&self.credentials.key_pem),
            }}],
            "contexts": [{"name": self.context, "context": {"cluster": self.context, "user": self.user}}],
            "current-context": self.context,
        })
    }

    /// Writes a file of its own, mode 0600.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PkiError> {
        write_document(path, &self.document())
    }

    /// Adds or replaces our entries in an existing kubeconfig, makes our context the current one, and leaves the rest alone.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is not a kubeconfig: then it is left as it was.
    pub fn merge_into(&self, path: &Path) -> Result<(), PkiError> {
        let Some(mut document) = read_document(path)? else { return self.write(path) };
        let ours = self.document();
        for list in LISTS {
            for entry in ours[list].as_array().into_iter().flatten() {
                remove(&mut document, list, entry["name"].as_str().unwrap_or_default());
                match document[list].as_array_mut() {
                    Some(entries) => entries.push(entry.clone()),
                    None => document[list] = json!([entry]),
                }
            }
        }
        document["current-context"] = json!(self.context);
        write_document(path, &document)
    }
}

const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Takes a context and the cluster and user it names out of a kubeconfig.
///
/// # Errors
/// When the file cannot be read or written, or is not a kubeconfig.
pub fn remove_from(path: &Path, context: &str, user: &str) -> Result<(), PkiError> {
    let Some(mut document) = read_document(path)? else { return Ok(()) };
    remove(&mut document, "clusters", context);
    remove(&mut document, "contexts", context);
    remove(&mut document, "users", user);
    if document["current-context"] == context {
        document["current-context"] = json!("");
    }
    write_document(path, &document)
}

fn remove(document: &mut Value, list: &str, name: &str) {
    if let Some(entries) = document[list].as_array_mut() {
        entries.retain(|entry| entry["name"] != name);
    }
}

fn read_document(path: &Path) -> Result<Option<Value>, PkiError> {
    let Some(text) = secret_file::read(path)? else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong = |reason: String| PkiError::Kubeconfig { path: path.display().to_string(), reason };
    let document: Value = serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    if !document.is_object() {
        return Err(wrong("it is not a YAML mapping".into()));
    }
    Ok(Some(document))
}

fn write_document(path: &Path, document: &Value) -> Result<(), PkiError> {
    let text = serde_saphyr::to_string(document)
        .map_err(|e| PkiError::Kubeconfig { path: path.display().to_string(), reason: e.to_string() })?;
    secret_file::write(path, &text, 0o600)
}
