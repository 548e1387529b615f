//! Builds what the kubelet embeds: gRPC clients from `proto/`, and the pause binary from `pause/`.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos =
        ["containerd", "containerd_images", "containerd_leases", "containerd_events", "containerd_tasks", "health"];
    let protos: Vec<String> = protos.iter().map(|name| format!("proto/{name}.proto")).collect();
    tonic_prost_build::configure().build_server(false).compile_protos(&protos, &["proto".to_owned()])?;
    pause()
}

/// Compiles `pause/pause.rs` for the target, static and without any library, into `OUT_DIR/pause`.
fn pause() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=pause/pause.rs");
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("pause");
    #[expect(clippy::disallowed_methods, reason = "a build script runs the compiler")]
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--edition=2024", "--crate-type=bin", "--crate-name=pause", "--target", &env::var("TARGET")?]);
    rustc.args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "-Crelocation-model=static", "-Cdebuginfo=0"]);
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,norelro"] {
        rustc.arg(format!("-Clink-arg={argument}"));
    }
    let target_linker = format!("CARGO_TARGET_{}_LINKER", env::var("TARGET")?.to_uppercase().replace('-', "_"));
    if let Ok(linker) = env::var(target_linker) {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.arg("-o").arg(&out).arg("pause/pause.rs").status()?;
    if !status.success() {
        return Err(format!("rustc could not build pause/pause.rs: {status}").into());
    }
    let size = fs::metadata(&out)?.len();
    if size > 64 * 1024 {
        return Err(format!("the pause binary is {size} bytes, expected a few thousand").into());
    }
    Ok(())
}
