//! `cargo xtask build`: the two binaries. The eBPF object is built by proxy/build.rs as part of it.

use std::path::PathBuf;

use crate::{setup, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build without optimisation, as the tests do.
    #[arg(long)]
    dev: bool,
}

/// Builds, and returns the directory that holds `skep` and `skep-cni`.
pub(crate) fn run(args: &Args) -> anyhow::Result<PathBuf> {
    setup::run()?;
    binaries(!args.dev)
}

/// Builds without looking at the machine's packages first.
pub(crate) fn binaries(release: bool) -> anyhow::Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--package", "skep", "--package", "skep-cni"]);
    if release {
        cargo.arg("--release");
    }
    shell::run(&mut cargo)?;
    Ok(shell::target_dir().join(if release { "release" } else { "debug" }))
}
