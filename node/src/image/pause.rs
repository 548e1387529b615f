//! The sandbox image, made in memory of the embedded pause binary; from the start of the kubelet; to containerd.
//! Performs IO.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::LoadError;
use super::archive::{Archive, Blob, Image, Source, digest, manifest_blob};
use crate::cri::Runtime;

/// Name of the sandbox image: what `sandbox_image` in containerd's configuration must say.
pub const NAME: &str = "skep.local/pause:1";

/// The static binary built from `pause/pause.rs`.
pub static BINARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// Stores the pause image in the containerd at `socket`, unless the runtime has it, and waits until the runtime sees it.
///
/// # Errors
/// containerd refused the image.
pub async fn ensure(runtime: &Runtime, socket: &Path) -> Result<(), LoadError> {
    if matches!(runtime.image_status(NAME).await, Ok(Some(_))) {
        return Ok(());
    }
    super::store(socket, &archive()?, "the pause image").await?;
    // The CRI plugin learns of new images by an event.
    for _ in 0..100 {
        if matches!(runtime.image_status(NAME).await, Ok(Some(_))) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tracing::warn!(image = NAME, "the runtime does not list the pause image yet");
    Ok(())
}

/// The image: one layer with `/pause`.
///
/// # Errors
/// Never for the embedded binary; the writer of the layer reports IO errors in principle.
pub fn archive() -> Result<Archive, LoadError> {
    let failed = |source| LoadError::Read { path: "the pause layer".to_owned(), source };
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(BINARY.len()).unwrap_or_default());
    header.set_mode(0o755);
    header.set_entry_type(tar::EntryType::Regular);
    layer.append_data(&mut header, "pause", BINARY).map_err(failed)?;
    let layer = layer.into_inner().map_err(failed)?;
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let (layer, config) = (blob(layer), blob(config));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.digest, "size": layer.size}],
    });
    let manifest = manifest_blob(&manifest, manifest.to_string().into_bytes());
    let image = Image {
        names: vec![NAME.to_owned()],
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        digest: manifest.digest.clone(),
        size: manifest.size,
    };
    Ok(Archive::from_parts(vec![layer, config, manifest], vec![image]))
}

/// The architecture in the words of images and node labels.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn blob(bytes: Vec<u8>) -> Blob {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Blob { digest: digest(&bytes), size, source: Source::Bytes(bytes), labels: Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_binary_is_a_small_static_elf() {
        assert!(BINARY.starts_with(b"\x7fELF"));
        assert!(BINARY.len() < 32 * 1024, "{}", BINARY.len());
        assert!(!BINARY.windows(4).any(|window| window == b"ld-l"), "no dynamic loader");
    }

    #[test]
    fn the_image_refers_to_its_blobs() {
        let archive = archive().unwrap();
        assert_eq!(archive.blobs().len(), 3);
        assert_eq!(archive.images()[0].digest, archive.blobs()[2].digest);
        assert_eq!(archive.blobs()[2].labels.len(), 2);
    }
}
