//! `cargo xtask check`: formatting, lints, the dependency table, licences, documentation, generated code. Each part runs alone too.

use crate::{codegen, setup, shell};

mod dependencies;
mod licences;
mod lints;
mod text;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this part.
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Fmt,
    Text,
    Lints,
    Dependencies,
    Licences,
    Codegen,
    Clippy,
    Docs,
}

/// Cheapest first.
const ALL: [Part; 8] =
    [Part::Fmt, Part::Text, Part::Lints, Part::Dependencies, Part::Licences, Part::Codegen, Part::Clippy, Part::Docs];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run()?;
    match args.part {
        Some(part) => one(part),
        None => all(),
    }
}

pub(crate) fn all() -> anyhow::Result<()> {
    ALL.into_iter().try_for_each(one)
}

fn one(part: Part) -> anyhow::Result<()> {
    println!("== check {part:?}");
    match part {
        Part::Fmt => shell::run(shell::cargo().args(["fmt", "--all", "--check"])),
        Part::Text => text::check(),
        Part::Lints => lints::check(),
        Part::Dependencies => dependencies::check(),
        Part::Licences => licences::check(),
        Part::Codegen => codegen::run(&codegen::Args { check: true }),
        Part::Clippy => {
            shell::run(shell::cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
        }
        Part::Docs => shell::run(
            shell::cargo()
                .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
                .env("RUSTDOCFLAGS", "--deny warnings"),
        ),
    }
}
