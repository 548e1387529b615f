//! Every developer command: `cargo xtask <verb>`. One file per verb.
#![expect(clippy::disallowed_methods, reason = "xtask's work is to run other programs")]
#![expect(clippy::print_stdout, reason = "a command-line tool talks to its user")]

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod check;
mod codegen;
mod down;
mod images;
mod setup;
mod shell;
mod test;
mod up;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "skep's developer commands", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building, running and testing need (Debian: apt and cargo; elsewhere: say what to install).
    Setup,
    /// Build skep and skep-cni, the eBPF object included.
    Build(build::Args),
    /// Check formatting, lints, the dependency table, licences, documentation and generated code.
    Check(check::Args),
    /// Install what is missing, then run every check and test.
    Test(test::Args),
    /// Measure what the design asks for, as ratios in one run.
    Bench(bench::Args),
    /// Install what is missing, build, start a local cluster, run a first workload and show its Service map.
    Up(up::Args),
    /// Remove the local cluster that `up` started.
    Down(down::Args),
    /// Write generated sources, or compare them with `--check`.
    Codegen(codegen::Args),
    /// Build the test images (OCI archives) into the target directory.
    Images,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Setup => setup::run(),
        Verb::Build(args) => build::run(&args).map(|_| ()),
        Verb::Check(args) => check::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Up(args) => up::run(&args),
        Verb::Down(args) => down::run(&args),
        Verb::Codegen(args) => codegen::run(&args),
        Verb::Images => images::run().map(|_| ()),
    }
}
