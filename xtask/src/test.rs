//! `cargo xtask test`: installs what is missing, then every check and every test.

use crate::{build, check, images, setup, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the tests of this package, without the checks.
    #[arg(long, short)]
    package: Option<String>,
    /// Passed to the test binaries, as after `cargo test --`.
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run()?;
    if args.package.is_none() {
        check::all()?;
    }
    // The tests run the binaries and images that lie in the target directory.
    let binaries = build::binaries(false)?;
    let images = images::run()?;
    let mut cargo = shell::cargo();
    cargo.arg("test");
    match &args.package {
        Some(package) => cargo.args(["--package", package]),
        // One failure must not hide those of other packages.
        None => cargo.args(["--workspace", "--no-fail-fast"]),
    };
    cargo.env("SKEP_BIN_DIR", &binaries).env("SKEP_IMAGE_DIR", &images);
    // A panic's backtrace helps; those of errors that are tried again cost time and drown what matters.
    cargo.env("RUST_LIB_BACKTRACE", "0");
    if shell::is_root() {
        cargo.env("SKEP_TEST_ROOT", "1");
    } else {
        println!("not root: tests that need the kernel, containerd or network namespaces are left out");
    }
    if !args.rest.is_empty() {
        cargo.arg("--").args(&args.rest);
    }
    shell::run(&mut cargo)
}
