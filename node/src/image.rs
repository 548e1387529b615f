//! Puts image archives (docker save, OCI layout, OCI archive; tar or gzip) into containerd without a registry.
//!
//! From `skep image load` and the start of the kubelet (pause image); to containerd's content and image stores. Performs IO.

use std::path::Path;

pub mod archive;
pub(crate) mod containerd;
pub mod pause;
pub mod reference;

/// What loading an image can end with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("read image archive {path}")]
    Read {
        /// The archive.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no image archive that we know.
    #[error("{path} is no image archive: {reason}")]
    Format {
        /// The archive.
        path: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// An image of the archive has no name, so nobody could refer to it.
    #[error("image {digest} in {path} has no name: save it with a tag (docker save NAME:TAG)")]
    Unnamed {
        /// The archive.
        path: String,
        /// Digest of the manifest.
        digest: String,
    },
    /// containerd refused.
    #[error("store image {what} in containerd")]
    Store {
        /// What was stored.
        what: String,
        /// Its answer.
        #[source]
        source: tonic::Status,
    },
}

/// Loads every image of an archive into the containerd that listens on `socket`; returns the names.
///
/// They go to the namespace `k8s.io`, where the CRI plugin looks. The runtime unpacks an image when it first makes a container of it.
///
/// # Errors
/// The archive cannot be read or is no image archive, or containerd refused it.
pub async fn load(socket: &Path, file: &Path) -> Result<Vec<String>, LoadError> {
    let path = file.to_owned();
    let archive = tokio::task::spawn_blocking(move || archive::Archive::open(&path));
    let archive = match archive.await {
        Ok(archive) => archive?,
        Err(panicked) => {
            return Err(LoadError::Format { path: file.display().to_string(), reason: panicked.to_string() });
        }
    };
    store(socket, &archive, &file.display().to_string()).await
}

/// Stores the images of an opened archive.
async fn store(socket: &Path, archive: &archive::Archive, path: &str) -> Result<Vec<String>, LoadError> {
    let containerd = containerd::Containerd::new(socket);
    let lease = containerd.lease().await?;
    let result = store_leased(&containerd, &lease, archive, path).await;
    containerd.end_lease(&lease).await?;
    result
}

async fn store_leased(
    containerd: &containerd::Containerd,
    lease: &str,
    archive: &archive::Archive,
    path: &str,
) -> Result<Vec<String>, LoadError> {
    for blob in archive.blobs() {
        containerd.write(lease, blob).await?;
    }
    let mut names = Vec::new();
    for image in archive.images() {
        if image.names.is_empty() {
            return Err(LoadError::Unnamed { path: path.to_owned(), digest: image.digest.clone() });
        }
        for name in &image.names {
            let name = reference::normalize(name)
                .map_err(|error| LoadError::Format { path: path.to_owned(), reason: format!("{name:?}: {error}") })?;
            containerd.name(&name, image).await?;
            names.push(name);
        }
    }
    Ok(names)
}
