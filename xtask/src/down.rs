//! `cargo xtask down`: removes what `up` started.

use std::process::Command;

use anyhow::bail;

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The cluster's name.
    #[arg(long, default_value = "dev")]
    name: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let skep = shell::target_dir().join("release/skep");
    if !skep.exists() {
        bail!("{} is not there: `cargo xtask up` builds it", skep.display());
    }
    shell::run(Command::new(skep).args(["down", "--name", &args.name]))
}
