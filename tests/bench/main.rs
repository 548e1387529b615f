//! `cargo xtask bench`: measures side by side in one run what the design asks for, and prints each figure beside its goal.
//!
//! Pairs (direct and through a Service, ours and bare) are run alternately in many short rounds, and the median of the rounds' ratios is reported: what
//! else the machine does then disturbs both alike.
#![expect(clippy::disallowed_methods, reason = "benches run the real programs and the real clock")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "benches print what they measure")]

mod api;
mod connection;
mod control_plane;
mod figure;
mod lists;
mod network;
mod objects;
mod plugin;
mod process;
mod scheduler;
mod services;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use figure::Report;

/// A name for `--only`, and what measures.
type Group = (&'static str, fn(&mut Report) -> anyhow::Result<()>);

static GROUPS: [Group; 7] = [
    ("process", process::measure),
    ("api", api::measure),
    ("scheduler", scheduler::measure),
    ("network", network::measure),
    ("services", services::measure),
    ("cni", plugin::measure),
    ("lists", lists::measure),
];

fn main() -> anyhow::Result<()> {
    let (mut json, mut only) = (None::<PathBuf>, None::<String>);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = Some(args.next().context("--json FILE")?.into()),
            "--only" => only = Some(args.next().context("--only NAME")?),
            other => anyhow::bail!("unknown option {other}: --json FILE, --only NAME"),
        }
    }
    let mut report = Report::new();
    let chosen: Vec<&Group> =
        GROUPS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)).collect();
    anyhow::ensure!(
        !chosen.is_empty(),
        "no such group; there are {}",
        GROUPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    );
    let mut failed = Vec::new();
    for (name, measure) in chosen {
        eprintln!("== {name}");
        let begin = Instant::now();
        // What the other groups measure is worth having.
        if let Err(error) = measure(&mut report) {
            eprintln!("bench {name}: {error:?}");
            failed.push(*name);
        }
        eprintln!("== {name} took {:.0?}", begin.elapsed());
    }
    println!("{report}");
    if let Some(file) = json {
        std::fs::write(&file, report.json()?).with_context(|| format!("write {}", file.display()))?;
    }
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
