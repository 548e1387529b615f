//! `cargo xtask bench`: measures side by side in one run what the design asks for, and prints each figure beside its goal.
//!
//! Pairs (direct and through a Service, ours and bare) are run alternately, and the ratio of their medians is reported: what else the machine does then
//! disturbs both alike.
#![expect(clippy::disallowed_methods, reason = "benches run the real programs and the real clock")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "benches print what they measure")]

mod api;
mod connection;
mod control_plane;
mod figure;
mod lists;
mod network;
mod plugin;
mod process;

use std::path::PathBuf;

use anyhow::Context as _;
use figure::Report;

/// A name for `--only`, and what measures.
type Group = (&'static str, fn(&mut Report) -> anyhow::Result<()>);

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
    let groups: [Group; 5] = [
        ("api", api::measure),
        ("lists", lists::measure),
        ("process", process::measure),
        ("network", network::measure),
        ("cni", plugin::measure),
    ];
    for (name, measure) in groups {
        if only.as_deref().is_none_or(|o| o == name) {
            eprintln!("== {name}");
            measure(&mut report).with_context(|| format!("bench {name}"))?;
        }
    }
    println!("{report}");
    if let Some(file) = json {
        std::fs::write(&file, report.json()?).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}
