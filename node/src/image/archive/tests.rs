//! Tests of [`archive`](super): archives made in memory.

use super::*;

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn open(bytes: &[u8]) -> Result<Archive, LoadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let archive = Archive::open(file.path());
    drop(file);
    archive
}

#[test]
fn reads_a_docker_archive_plain_and_gzip() {
    let manifest = br#"[{"Config":"c.json","RepoTags":["app:1","app:2"],"Layers":["l/layer.tar"]}]"#;
    let tar = tar_of(&[("manifest.json", manifest), ("c.json", b"{}"), ("l/layer.tar", b"layer")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    for bytes in [tar, gzip.finish().unwrap()] {
        let archive = open(&bytes).unwrap();
        assert_eq!(archive.images()[0].names, ["app:1", "app:2"]);
        let digests: Vec<_> = archive.blobs().iter().map(|blob| blob.digest.clone()).collect();
        assert_eq!(digests, [digest(b"{}"), digest(b"layer"), archive.images()[0].digest.clone()]);
        let labels = &archive.blobs()[2].labels;
        assert_eq!(labels["containerd.io/gc.ref.content.config"], digest(b"{}"));
        assert_eq!(labels["containerd.io/gc.ref.content.l.0"], digest(b"layer"));
    }
}

#[test]
fn reads_an_oci_archive() {
    let name = |bytes: &[u8]| format!("blobs/sha256/{}", digest(bytes).strip_prefix("sha256:").unwrap());
    let manifest =
        json!({"schemaVersion": 2, "config": {"digest": digest(b"{}")}, "layers": [{"digest": digest(b"l")}]});
    let manifest = manifest.to_string();
    let index = json!({"manifests": [{"digest": digest(manifest.as_bytes()), "mediaType": OCI_MANIFEST,
        "annotations": {"org.opencontainers.image.ref.name": "app:1"}}]})
    .to_string();
    let (m, c, l) = (name(manifest.as_bytes()), name(b"{}"), name(b"l"));
    let archive =
        open(&tar_of(&[("index.json", index.as_bytes()), (&m, manifest.as_bytes()), (&c, b"{}"), (&l, b"l")])).unwrap();
    assert_eq!(archive.images()[0].names, ["app:1"]);
    assert_eq!(archive.blobs().len(), 3);
    let broken = open(&tar_of(&[("index.json", index.as_bytes()), (&m, manifest.as_bytes()), (&c, b"{}"), (&l, b"x")]));
    assert!(broken.unwrap_err().to_string().contains("has the digest"));
}

#[test]
fn names_what_is_wrong() {
    assert!(open(&tar_of(&[("x", b"y")])).unwrap_err().to_string().contains("neither manifest.json"));
    let manifest = br#"[{"Config":"c.json","RepoTags":[],"Layers":[]}]"#;
    assert!(open(&tar_of(&[("manifest.json", manifest)])).unwrap_err().to_string().contains("c.json is not in"));
}

#[test]
fn cleans_paths() {
    assert_eq!(clean("./a/../b/./c"), "b/c");
    assert_eq!(clean("../../etc/passwd"), "etc/passwd");
}
