//! Test images as OCI archives, made from this machine alone: Debian's static busybox, and our own static `endpoint`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::shell;

/// Names that pods of the tests use; `skep.test` is no registry.
const BUSYBOX: &str = "skep.test/busybox:1";
const ENDPOINT: &str = "skep.test/endpoint:1";

/// Builds what is older than its sources, and returns the directory of `busybox.tar` and `endpoint.tar`.
pub(crate) fn run() -> anyhow::Result<PathBuf> {
    let directory = shell::target_dir().join("images");
    std::fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let busybox = shell::find("busybox").context("no busybox on this machine: cargo xtask setup")?;
    if is_older(&directory.join("busybox.tar"), &busybox) {
        write_busybox(&busybox, &directory.join("busybox.tar"))?;
    }
    let source = shell::root().join("tests/images/endpoint.rs");
    if is_older(&directory.join("endpoint.tar"), &source) {
        write_endpoint(&source, &busybox, &directory)?;
    }
    println!("test images: {}", directory.display());
    Ok(directory)
}

fn is_older(product: &Path, source: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    modified(product).is_none_or(|made| modified(source).is_none_or(|changed| changed > made))
}

fn write_busybox(busybox: &Path, archive: &Path) -> anyhow::Result<()> {
    let layer = Layer::new().busybox(busybox)?;
    write_image(archive, BUSYBOX, layer, &json!({"Cmd": ["sh"], "Env": [PATH_VARIABLE]}))
}

fn write_endpoint(source: &Path, busybox: &Path, directory: &Path) -> anyhow::Result<()> {
    let binary = directory.join("endpoint");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let flags = ["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Cstrip=symbols", "-o"];
    shell::run(Command::new(rustc).args(flags).arg(&binary).arg(source))?;
    let layer = Layer::new().busybox(busybox)?.file("bin/endpoint", 0o755, &std::fs::read(&binary)?)?;
    let config = json!({
        "Entrypoint": ["/bin/endpoint"],
        "Cmd": ["serve"],
        "Env": [PATH_VARIABLE],
        "ExposedPorts": {"8080/tcp": {}},
    });
    write_image(&directory.join("endpoint.tar"), ENDPOINT, layer, &config)
}

const PATH_VARIABLE: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One layer of a root file system.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// The usual directories, users, and busybox under every name it answers to.
    fn busybox(mut self, busybox: &Path) -> anyhow::Result<Self> {
        for directory in ["bin", "etc", "home", "root", "tmp", "usr", "usr/bin", "var", "var/run"] {
            let mut header = header(if directory == "tmp" { 0o1777 } else { 0o755 }, 0);
            header.set_entry_type(tar::EntryType::Directory);
            self.0.append_data(&mut header, directory, std::io::empty())?;
        }
        self = self
            .file(
                "etc/passwd",
                0o644,
                b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
            )?
            .file("etc/group", 0o644, b"root:x:0:\nnobody:x:65534:\n")?
            .file(
                "bin/busybox",
                0o755,
                &std::fs::read(busybox).with_context(|| format!("read {}", busybox.display()))?,
            )?;
        for applet in shell::output(Command::new(busybox).arg("--list"))?.lines().filter(|a| *a != "busybox") {
            let mut header = header(0o755, 0);
            header.set_entry_type(tar::EntryType::Link);
            self.0.append_link(&mut header, format!("bin/{applet}"), "bin/busybox")?;
        }
        Ok(self)
    }

    fn file(mut self, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<Self> {
        self.0.append_data(&mut header(mode, content.len()), path, content)?;
        Ok(self)
    }
}

/// Fixed owner and time, so that equal content gives an equal digest.
fn header(mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header
}

/// An OCI image layout in a tar file, with the name that containerd and `skep image load` look for.
fn write_image(archive: &Path, name: &str, layer: Layer, config: &serde_json::Value) -> anyhow::Result<()> {
    let layer = layer.0.into_inner()?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = serde_json::to_vec(&json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]}))?;

    let beside = archive.with_extension("new");
    let mut tar =
        tar::Builder::new(BufWriter::new(File::create(&beside).with_context(|| beside.display().to_string())?));
    let mut add = |path: &OsStr, content: &[u8]| tar.append_data(&mut header(0o644, content.len()), path, content);
    add("oci-layout".as_ref(), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add("index.json".as_ref(), &index)?;
    for blob in [&manifest, &config, &layer] {
        add(digest(blob).replace("sha256:", "blobs/sha256/").as_ref(), blob)?;
    }
    tar.into_inner()?.flush()?;
    std::fs::rename(&beside, archive).with_context(|| format!("rename to {}", archive.display()))
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn digest(content: &[u8]) -> String {
    let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}
