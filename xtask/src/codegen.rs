//! `cargo xtask codegen`: writes generated sources, or compares them.
//!
//! The generator is a workspace of its own, so that the features it needs of shared crates do not leak into ours.

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail when a generated file differs from what would be written.
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let manifest = shell::root().join("xtask/codegen/Cargo.toml");
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
    cargo.arg("--target-dir").arg(shell::target_dir().join("codegen"));
    if args.check {
        cargo.args(["--", "--check"]);
    }
    shell::run(&mut cargo)
}
