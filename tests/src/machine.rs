//! The machine the tests run on: where the binaries and images are, and how programs are run.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Whether tests that need root and other programs may run; says so when not.
#[must_use]
pub fn is_prepared() -> bool {
    let prepared = std::env::var_os("SKEP_TEST_ROOT").is_some();
    if !prepared {
        eprintln!("needs SKEP_TEST_ROOT=1 (set by `cargo xtask test` as root)");
    }
    prepared
}

/// A binary that `cargo xtask` built: `skep`, `skep-cni`.
///
/// # Errors
/// When `cargo xtask` did not start us.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    directory("SKEP_BIN_DIR").map(|d| d.join(name))
}

/// A test image's archive, or the static program in it.
///
/// # Errors
/// When `cargo xtask` did not start us.
pub fn image(name: &str) -> anyhow::Result<PathBuf> {
    directory("SKEP_IMAGE_DIR").map(|d| d.join(name))
}

fn directory(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set: run this by cargo xtask"))
}

/// Real kubectl, as the user of a kubeconfig.
#[must_use]
pub fn kubectl(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig).args(args);
    command
}

/// Runs a program to its end and returns its standard output.
///
/// # Errors
/// With its standard error, when it fails.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let out = attempt(command)?;
    if !out.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a program to its end, whatever the end.
///
/// # Errors
/// When it cannot be started.
pub fn attempt(command: &mut Command) -> anyhow::Result<Output> {
    command.output().with_context(|| format!("start {command:?}"))
}

/// Asks until there is an answer; the last error otherwise.
///
/// # Errors
/// The last one, after `patience`.
pub fn eventually<T>(patience: Duration, mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let end = Instant::now() + patience;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > end => return Err(error.context(format!("still so after {patience:?}"))),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A name no other test has.
#[must_use]
pub fn random_name(prefix: &str) -> String {
    // Its keys are random, and others each time.
    format!("{prefix}{:06x}", RandomState::new().hash_one(prefix) & 0xff_ffff)
}
