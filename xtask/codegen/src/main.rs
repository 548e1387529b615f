//! Writes `control/api/src/generated`: the schema table of the built-in types and their descriptions.
//!
//! Reads the sources of k8s-openapi (JSON names, types, descriptions) and k8s-pb (protobuf tags), and
//! `control/api/src/data` (patch strategies and list types; how Go encodes a field when it is empty).
//!
//! Usage: `skep-codegen [--check]`.

mod json_schema;
mod protobuf;
mod shapes;
mod sources;
mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: skep-codegen [--check]"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let api = root.join("control/api/src");
    let types = json_schema::read(&sources::crate_dir("k8s-openapi")?.join("src/v1_34"))?;
    let messages = protobuf::read(&sources::crate_dir("k8s-pb")?.join("src"))?;
    let shapes = shapes::read(&api.join("data"))?;
    let table = table::build(&types, &messages, &shapes)?;
    put(&api.join("generated/types.tsv"), table.types.as_bytes(), check)?;
    put(&api.join("generated/descriptions.deflate"), &deflate(table.descriptions.as_bytes())?, check)?;
    Ok(())
}

fn deflate(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text)?;
    Ok(encoder.finish()?)
}

fn put(path: &PathBuf, content: &[u8], check: bool) -> anyhow::Result<()> {
    if check {
        let there = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        if there != content {
            bail!("{} is not what the generator writes: run `cargo xtask codegen`", path.display());
        }
        return Ok(());
    }
    std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
    std::fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
