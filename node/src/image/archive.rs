//! Reads image archives: which blobs they hold, which images, and which blob refers to which; from a file; to
//! [`containerd`](super::containerd). Reads files, changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::LoadError;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Where a blob's bytes are.
#[derive(Clone, Debug)]
pub enum Source {
    /// A stretch of a file.
    File {
        /// The file.
        path: PathBuf,
        /// Offset of the first byte.
        offset: u64,
    },
    /// In memory.
    Bytes(Vec<u8>),
}

/// A blob to store.
#[derive(Clone, Debug)]
pub struct Blob {
    /// `sha256:…` of the bytes.
    pub digest: String,
    /// Length in bytes.
    pub size: u64,
    /// The bytes.
    pub source: Source,
    /// Labels that tell the garbage collector what the blob refers to.
    pub labels: BTreeMap<String, String>,
}

/// An image of the archive.
#[derive(Clone, Debug)]
pub struct Image {
    /// Names as the archive gives them.
    pub names: Vec<String>,
    /// Media type of the manifest or index.
    pub media_type: String,
    /// Digest of the manifest or index.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// An opened archive.
#[derive(Debug)]
pub struct Archive {
    blobs: Vec<Blob>,
    images: Vec<Image>,
    /// Holds what was decompressed until the archive is dropped.
    _spool: Option<tempfile::NamedTempFile>,
}

impl Archive {
    /// Opens an archive file (tar, plain or gzip) or a directory in OCI layout, and reads its table of contents.
    ///
    /// # Errors
    /// Not readable, or no image archive.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let shown = path.display().to_string();
        let read = |source| LoadError::Read { path: shown.clone(), source };
        let (files, spool) = if path.is_dir() {
            (directory_files(path).map_err(read)?, None)
        } else {
            let spool = decompressed(path).map_err(read)?;
            let tar = spool.as_ref().map_or(path, tempfile::NamedTempFile::path).to_owned();
            (tar_files(&tar).map_err(read)?, spool)
        };
        let mut contents = Contents { files, blobs: Vec::new(), seen: HashSet::new() };
        let images = contents.images().map_err(|error| match error {
            ContentsError::Read(source) => LoadError::Read { path: shown.clone(), source },
            ContentsError::Format(reason) => LoadError::Format { path: shown.clone(), reason },
        })?;
        Ok(Self { blobs: contents.blobs, images, _spool: spool })
    }

    /// An archive made in memory: one image of one layer.
    pub fn from_parts(blobs: Vec<Blob>, images: Vec<Image>) -> Self {
        Self { blobs, images, _spool: None }
    }

    /// Blobs to store, referred ones before referring ones.
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// Images to name.
    pub fn images(&self) -> &[Image] {
        &self.images
    }
}

/// The SHA-256 digest of bytes, as `sha256:…`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, Debug)]
struct Entry {
    path: PathBuf,
    offset: u64,
    size: u64,
}

#[derive(Debug, thiserror::Error)]
enum ContentsError {
    #[error("read")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Format(String),
}

struct Contents {
    files: HashMap<String, Entry>,
    blobs: Vec<Blob>,
    seen: HashSet<String>,
}

impl Contents {
    fn images(&mut self) -> Result<Vec<Image>, ContentsError> {
        if self.files.contains_key("manifest.json") {
            return self.docker_images();
        }
        if self.files.contains_key("index.json") {
            return self.oci_images();
        }
        Err(ContentsError::Format("neither manifest.json (docker save) nor index.json (OCI layout) inside".to_owned()))
    }

    /// `docker save`: manifest.json names a config and layers by path.
    fn docker_images(&mut self) -> Result<Vec<Image>, ContentsError> {
        let list = self.json("manifest.json")?;
        let mut images = Vec::new();
        for entry in list.as_array().into_iter().flatten() {
            let config = self.file_blob(text(entry, "Config")?)?;
            let config = json!({"mediaType": OCI_CONFIG, "digest": config.0, "size": config.1});
            let mut layers = Vec::new();
            for layer in entry["Layers"].as_array().into_iter().flatten() {
                let path = layer.as_str().ok_or_else(|| ContentsError::Format("Layers holds no paths".to_owned()))?;
                let compressed = self.starts_with(path, &[0x1f, 0x8b])?;
                let (digest, size) = self.file_blob(path)?;
                let media_type = if compressed { format!("{OCI_LAYER}+gzip") } else { OCI_LAYER.to_owned() };
                layers.push(json!({"mediaType": media_type, "digest": digest, "size": size}));
            }
            let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
            let names = entry["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
            images.push(self.add_manifest(&manifest, names.map(str::to_owned).collect()));
        }
        Ok(images)
    }

    fn add_manifest(&mut self, manifest: &Value, names: Vec<String>) -> Image {
        let bytes = manifest.to_string().into_bytes();
        let blob = manifest_blob(manifest, bytes);
        let image = Image { names, media_type: OCI_MANIFEST.to_owned(), digest: blob.digest.clone(), size: blob.size };
        if self.seen.insert(blob.digest.clone()) {
            self.blobs.push(blob);
        }
        image
    }

    /// OCI layout: index.json names manifests (or indexes of manifests) by digest.
    fn oci_images(&mut self) -> Result<Vec<Image>, ContentsError> {
        let index = self.json("index.json")?;
        let mut images: Vec<Image> = Vec::new();
        for descriptor in index["manifests"].as_array().into_iter().flatten() {
            let digest = text(descriptor, "digest")?.to_owned();
            let annotation = |key: &str| descriptor["annotations"][key].as_str().map(str::to_owned);
            let name =
                annotation("io.containerd.image.name").or_else(|| annotation("org.opencontainers.image.ref.name"));
            if let Some(image) = images.iter_mut().find(|image| image.digest == digest) {
                image.names.extend(name);
                continue;
            }
            let size = self.oci_manifest(&digest)?;
            let media_type = descriptor["mediaType"].as_str().unwrap_or(OCI_MANIFEST).to_owned();
            images.push(Image { names: name.into_iter().collect(), media_type, digest, size });
        }
        if images.is_empty() {
            return Err(ContentsError::Format("index.json lists no manifests".to_owned()));
        }
        Ok(images)
    }

    /// Adds the manifest or index of that digest and all it refers to; returns its size.
    fn oci_manifest(&mut self, digest: &str) -> Result<u64, ContentsError> {
        let path = blob_path(digest)?;
        let bytes = self.bytes(&path)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self::digest(&bytes) != digest {
            return Err(ContentsError::Format(format!("{path} does not have the digest in its name")));
        }
        let manifest: Value =
            serde_json::from_slice(&bytes).map_err(|e| ContentsError::Format(format!("{path}: {e}")))?;
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            let digest = text(child, "digest")?.to_owned();
            // Archives for one platform leave the other platforms' manifests out.
            if self.files.contains_key(&blob_path(&digest)?) {
                self.oci_manifest(&digest)?;
            }
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for descriptor in layers.chain(manifest.get("config").filter(|config| config.is_object())) {
            let digest = text(descriptor, "digest")?;
            let (found, _) = self.file_blob(&blob_path(digest)?)?;
            if found != digest {
                return Err(ContentsError::Format(format!("blob {digest} has the digest {found}")));
            }
        }
        if self.seen.insert(digest.to_owned()) {
            self.blobs.push(manifest_blob(&manifest, bytes));
        }
        Ok(size)
    }

    /// Adds a file of the archive as a blob; returns digest and size.
    fn file_blob(&mut self, path: &str) -> Result<(String, u64), ContentsError> {
        let entry = self.entry(path)?.clone();
        let mut hasher = Sha256::new();
        let mut reader = reader(&entry)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        let digest = format!("sha256:{}", hex(&hasher.finalize()));
        if self.seen.insert(digest.clone()) {
            self.blobs.push(Blob {
                digest: digest.clone(),
                size: entry.size,
                source: Source::File { path: entry.path, offset: entry.offset },
                labels: BTreeMap::new(),
            });
        }
        Ok((digest, entry.size))
    }

    fn entry(&self, path: &str) -> Result<&Entry, ContentsError> {
        self.files.get(path).ok_or_else(|| ContentsError::Format(format!("{path} is not in the archive")))
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, ContentsError> {
        let entry = self.entry(path)?;
        if entry.size > 8 << 20 {
            return Err(ContentsError::Format(format!("{path} is too large for a manifest")));
        }
        let mut bytes = Vec::new();
        reader(entry)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn json(&self, path: &str) -> Result<Value, ContentsError> {
        serde_json::from_slice(&self.bytes(path)?).map_err(|error| ContentsError::Format(format!("{path}: {error}")))
    }

    fn starts_with(&self, path: &str, magic: &[u8]) -> Result<bool, ContentsError> {
        let mut start = vec![0; magic.len()];
        Ok(reader(self.entry(path)?)?.read_exact(&mut start).is_ok() && start == magic)
    }
}

/// A manifest or index as a blob, labelled so that what it refers to is kept as long as itself.
pub fn manifest_blob(manifest: &Value, bytes: Vec<u8>) -> Blob {
    let mut labels = BTreeMap::new();
    let mut refer = |kind: String, descriptor: &Value| {
        if let Some(digest) = descriptor["digest"].as_str() {
            labels.insert(format!("containerd.io/gc.ref.content.{kind}"), digest.to_owned());
        }
    };
    refer("config".to_owned(), &manifest["config"]);
    for (number, layer) in manifest["layers"].as_array().into_iter().flatten().enumerate() {
        refer(format!("l.{number}"), layer);
    }
    for (number, child) in manifest["manifests"].as_array().into_iter().flatten().enumerate() {
        refer(format!("m.{number}"), child);
    }
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Blob { digest: digest(&bytes), size, source: Source::Bytes(bytes), labels }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, ContentsError> {
    value[key].as_str().ok_or_else(|| ContentsError::Format(format!("field {key} is missing or no text")))
}

fn blob_path(digest: &str) -> Result<String, ContentsError> {
    match digest.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()) => {
            Ok(format!("blobs/sha256/{hex}"))
        }
        _ => Err(ContentsError::Format(format!("digest {digest:?} is not sha256"))),
    }
}

fn reader(entry: &Entry) -> io::Result<impl Read + use<>> {
    let mut file = File::open(&entry.path)?;
    file.seek(SeekFrom::Start(entry.offset))?;
    Ok(file.take(entry.size))
}

/// The archive without its gzip wrapping, in a file that vanishes when dropped; `None` when it has none.
fn decompressed(path: &Path) -> io::Result<Option<tempfile::NamedTempFile>> {
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    if !gzip {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut spool = tempfile::NamedTempFile::new()?;
    io::copy(&mut flate2::read::MultiGzDecoder::new(io::BufReader::new(file)), spool.as_file_mut())?;
    spool.flush()?;
    Ok(Some(spool))
}

fn tar_files(path: &Path) -> io::Result<HashMap<String, Entry>> {
    let mut files = HashMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(File::open(path)?);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = clean(&entry.path()?.to_string_lossy());
        if let Some(target) = entry.link_name()? {
            let target = target.to_string_lossy();
            let parent = if entry.header().entry_type().is_symlink() { parent(&name) } else { "" };
            links.push((name.clone(), clean(&format!("{parent}/{target}"))));
        } else if entry.header().entry_type().is_file() {
            files.insert(name, Entry { path: path.to_owned(), offset: entry.raw_file_position(), size: entry.size() });
        }
    }
    for (name, target) in links {
        if let Some(entry) = files.get(&target).cloned() {
            files.insert(name, entry);
        }
    }
    Ok(files)
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A path without `.`, `..` and leading slashes.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn directory_files(root: &Path) -> io::Result<HashMap<String, Entry>> {
    let mut files = HashMap::new();
    for directory in [root.to_owned(), root.join("blobs/sha256")] {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.path().strip_prefix(root).map(Path::to_path_buf)) {
                let item = Entry { path: entry.path(), offset: 0, size: metadata.len() };
                files.insert(name.to_string_lossy().into_owned(), item);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
