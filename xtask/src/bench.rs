//! `cargo xtask bench`: builds in release and runs every measurement side by side with the design's goals.

use std::path::PathBuf;

use crate::{build, images, setup, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write every figure as {name, value, unit, goal, met, machine}.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only this group: process, api, scheduler, network, services, cni or lists.
    #[arg(long)]
    only: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run()?;
    let binaries = build::binaries(true)?;
    let images = images::run()?;
    let mut cargo = shell::cargo();
    cargo.args(["run", "--release", "--package", "skep-tests", "--bin", "bench", "--"]);
    if let Some(file) = &args.json {
        cargo.arg("--json").arg(std::path::absolute(file)?);
    }
    if let Some(only) = &args.only {
        cargo.args(["--only", only]);
    }
    shell::run(cargo.env("SKEP_BIN_DIR", binaries).env("SKEP_IMAGE_DIR", images))
}
