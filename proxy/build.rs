//! Builds the eBPF programs from `proxy-ebpf` and puts the object where `datapath::load` embeds it.
//!
//! `core` must be built for the BPF target, which needs a compiler together with its own sources (`rust-src`). The pair
//! that has them need not be the one that builds everything else, so this runs a cargo of its own, in a target directory
//! of its own (`<target>/ebpf`, shared by all profiles, no lock in common with the outer cargo).
//!
//! `SKEP_EBPF=skip` embeds nothing: for checks on machines without those tools. Loading then fails with a clear message.

#![expect(clippy::disallowed_methods, reason = "a build script runs compilers")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const TARGET: &str = "bpfel-unknown-none";
const BINARY: &str = "skep-programs";

const INSTALL: &str = "\
building the eBPF programs needs a Rust compiler with its sources, and bpf-linker. Either
  rustup toolchain install nightly --component rust-src && cargo install bpf-linker --version 0.13.0
or, on Debian (done by `cargo xtask setup`),
  apt-get install rustc-web cargo-web rust-web-src llvm-22-dev libpolly-22-dev
  LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22
To check the rest of the code without them: SKEP_EBPF=skip";

/// A cargo and a rustc of one version whose sources are there.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
}

fn main() -> ExitCode {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-ebpf");
    println!("cargo::rerun-if-changed={}", sources.join("src").display());
    println!("cargo::rerun-if-changed={}", sources.join("Cargo.toml").display());
    println!("cargo::rerun-if-env-changed=SKEP_EBPF");
    match build(&sources) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build(sources: &Path) -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    let embedded = out.join("programs.o");
    if env::var_os("SKEP_EBPF").is_some_and(|value| value == "skip") {
        return fs::write(&embedded, []).map_err(|error| format!("write {}: {error}", embedded.display()));
    }
    let linker = find_on_path("bpf-linker").ok_or_else(|| format!("bpf-linker is missing; {INSTALL}"))?;
    let toolchain = find_toolchain().ok_or_else(|| format!("no Rust compiler with its sources; {INSTALL}"))?;
    let target_directory = target_directory(&out)?.join("ebpf");

    let mut cargo = Command::new(&toolchain.cargo);
    cargo.current_dir(sources);
    // What the outer cargo says to its own compilers must not reach this one.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let inherited = ["CARGO", "RUST", "DEP_", "CLIPPY"].iter().any(|prefix| text.starts_with(prefix));
        if inherited && text != "CARGO_HOME" && text != "RUSTUP_HOME" {
            cargo.env_remove(&name);
        }
    }
    let flags = [
        "-C".to_owned(),
        format!("linker={}", linker.display()),
        "-C".to_owned(),
        "link-arg=--btf".to_owned(),
        "-C".to_owned(),
        "target-cpu=v3".to_owned(),
        "-C".to_owned(),
        "debuginfo=2".to_owned(),
        "-C".to_owned(),
        "panic=abort".to_owned(),
    ];
    let status = cargo
        .args(["build", "--quiet", "--release", "--package", "skep-proxy-ebpf", "--bin", BINARY])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&target_directory)
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // The profile of the host binaries strips; the kernel needs the type information.
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .status()
        .map_err(|error| format!("run {}: {error}; {INSTALL}", toolchain.cargo.display()))?;
    if !status.success() {
        return Err(format!(
            "{} build --package skep-proxy-ebpf --target {TARGET}: {status}",
            toolchain.cargo.display()
        ));
    }
    let object = target_directory.join(TARGET).join("release").join(BINARY);
    fs::copy(&object, &embedded)
        .map(|_| ())
        .map_err(|error| format!("copy {} to {}: {error}", object.display(), embedded.display()))
}

/// The target directory of the workspace: the closest one above `OUT_DIR` that cargo has marked as a cache.
fn target_directory(out: &Path) -> Result<PathBuf, String> {
    out.ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists())
        .or_else(|| out.ancestors().nth(4))
        .map(Path::to_owned)
        .ok_or_else(|| format!("no target directory above {}", out.display()))
}

fn find_toolchain() -> Option<Toolchain> {
    let active = || {
        let rustc = PathBuf::from(env::var_os("RUSTC")?);
        Some(Toolchain { cargo: PathBuf::from(env::var_os("CARGO")?), rustc })
    };
    let nightly = || {
        let rustup = find_on_path("rustup")?;
        let which = |tool: &str| {
            let mut command = Command::new(&rustup);
            Some(PathBuf::from(output(command.args(["which", "--toolchain", "nightly", tool]))?))
        };
        Some(Toolchain { cargo: which("cargo")?, rustc: which("rustc")? })
    };
    let system = || Some(Toolchain { cargo: PathBuf::from("/usr/bin/cargo"), rustc: PathBuf::from("/usr/bin/rustc") });
    active().filter(has_sources).or_else(|| nightly().filter(has_sources)).or_else(|| system().filter(has_sources))
}

fn has_sources(toolchain: &Toolchain) -> bool {
    let sysroot = output(Command::new(&toolchain.rustc).args(["--print", "sysroot"]));
    toolchain.cargo.exists()
        && sysroot.is_some_and(|path| Path::new(&path).join("lib/rustlib/src/rust/library/core/src/lib.rs").exists())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn find_on_path(name: &str) -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .map(|home| home.join("bin"));
    env::split_paths(&env::var_os("PATH")?)
        .chain(cargo_home)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
