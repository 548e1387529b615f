//! `cargo xtask setup`: installs what is missing, saying what and why.
//!
//! On Debian and its derivatives by apt (as root or by sudo) and cargo; elsewhere it names what to install.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::shell;

/// Something that must be on the machine, how to see it, and what brings it.
struct Need {
    what: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const LLVM: &str = "/usr/lib/llvm-22";

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        why: "ring has C and assembly parts",
        packages: &["gcc", "libc6-dev"],
        present: || on_path("cc"),
    },
    Need {
        what: "protoc",
        why: "the etcd and CRI clients are generated from protocol buffers",
        packages: &["protobuf-compiler", "libprotobuf-dev"],
        present: || on_path("protoc") && Path::new("/usr/include/google/protobuf/empty.proto").exists(),
    },
    Need {
        what: "a Rust compiler with rust-src",
        why: "the eBPF programs need core built for bpfel-unknown-none",
        packages: &["rustc-web", "cargo-web", "rust-web-src"],
        present: has_rust_src,
    },
    Need {
        what: "LLVM 22 development files",
        why: "bpf-linker links against them",
        packages: &["llvm-22-dev", "libpolly-22-dev", "g++", "zlib1g-dev", "libzstd-dev"],
        present: || on_path("bpf-linker") || (Path::new(LLVM).join("bin/llvm-config").exists() && on_path("c++")),
    },
    Need {
        what: "containerd",
        why: "nodes run pods through its CRI",
        packages: &["containerd"],
        present: || on_path("containerd"),
    },
    Need { what: "runc", why: "containerd runs containers with it", packages: &["runc"], present: || on_path("runc") },
    Need {
        what: "ip and nsenter",
        why: "tests build network namespaces",
        packages: &["iproute2", "util-linux"],
        present: || on_path("ip") && on_path("nsenter"),
    },
    Need {
        what: "etcd",
        why: "the storage tests run on it as well",
        packages: &["etcd-server"],
        present: || on_path("etcd"),
    },
    Need {
        what: "kubectl",
        why: "tests and the first workload use the real client",
        packages: &["kubernetes-client"],
        present: || on_path("kubectl"),
    },
    Need {
        what: "a static busybox",
        why: "test images are made from it",
        packages: &["busybox-static"],
        present: || Path::new("/bin/busybox").exists(),
    },
    Need {
        what: "a static C library",
        why: "test images hold static binaries",
        packages: &["libc6-dev"],
        present: || !libc_archives().is_empty(),
    },
    Need {
        what: "root certificates",
        why: "cargo and clients verify TLS with them",
        packages: &["ca-certificates"],
        present: || Path::new("/etc/ssl/certs").exists(),
    },
];

pub(crate) fn run() -> anyhow::Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    for need in &missing {
        println!("missing: {} ({}): {}", need.what, need.why, need.packages.join(" "));
    }
    if !missing.is_empty() {
        install(&missing)?;
    }
    if !on_path("bpf-linker") {
        println!("missing: bpf-linker (it links the eBPF programs): cargo install");
        let mut cargo = shell::cargo();
        cargo.args(["install", "bpf-linker", "--version", "0.13.0", "--locked"]);
        if Path::new(LLVM).exists() {
            cargo.env("LLVM_PREFIX", LLVM).args(["--no-default-features", "--features", "llvm-22"]);
        }
        // RUSTFLAGS and wrappers of a surrounding build must not reach the tool's own build.
        shell::run(cargo.env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(())
}

fn install(missing: &[&Need]) -> anyhow::Result<()> {
    if !on_path("apt-get") {
        bail!("this is not Debian: install what is named above with the system's package manager, then run this again");
    }
    let mut packages: Vec<&str> = missing.iter().flat_map(|need| need.packages.iter().copied()).collect();
    packages.sort_unstable();
    packages.dedup();
    shell::run(apt()?.arg("update"))?;
    shell::run(apt()?.args(["install", "--yes", "--no-install-recommends"]).args(&packages))?;
    let still: Vec<&str> = missing.iter().filter(|need| !(need.present)()).map(|need| need.what).collect();
    if !still.is_empty() {
        bail!("still missing after apt-get install: {}", still.join(", "));
    }
    Ok(())
}

fn apt() -> anyhow::Result<Command> {
    let mut command = if shell::is_root() {
        Command::new("apt-get")
    } else {
        shell::find("sudo").context("installing packages needs root: run as root, or install sudo")?;
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    Ok(command)
}

fn on_path(program: &str) -> bool {
    shell::find(program).is_some() || cargo_bin(program).exists()
}

/// Where `cargo install` puts binaries.
fn cargo_bin(program: &str) -> PathBuf {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.unwrap_or_default().join("bin").join(program)
}

/// Debian's compiler, or rustup's nightly, with the library sources beside it. proxy/build.rs makes the same choice.
fn has_rust_src() -> bool {
    let sysroots = [
        Command::new("/usr/bin/rustc").args(["--print", "sysroot"]).stderr(Stdio::null()).output(),
        Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).stderr(Stdio::null()).output(),
    ];
    sysroots.into_iter().flatten().any(|out| {
        let sysroot = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        out.status.success() && Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").exists()
    })
}

fn libc_archives() -> Vec<PathBuf> {
    ["/usr/lib/x86_64-linux-gnu/libc.a", "/usr/lib/aarch64-linux-gnu/libc.a", "/usr/lib64/libc.a", "/usr/lib/libc.a"]
        .map(PathBuf::from)
        .into_iter()
        .filter(|file| file.exists())
        .collect()
}
