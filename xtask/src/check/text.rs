//! What no compiler sees: absolute paths of a machine, unfinished places, `#[allow]`, ignored tests, vague file names.

use anyhow::{Context as _, bail};

use crate::shell;

/// A piece of text that must not stand in a Rust source, and what to do instead. Spelt in two halves so that this file passes.
const REFUSED: &[(&str, &str, &str)] = &[
    ("todo", "!(", "finish it, or leave it out"),
    ("unimple", "mented!(", "finish it, or leave it out"),
    ("#[al", "low(", "use #[expect(…, reason = …)], which tells when it is stale"),
    ("#[ign", "ore", "an ignored test is no test"),
];

pub(super) fn check() -> anyhow::Result<()> {
    let files = shell::output(std::process::Command::new("git").current_dir(shell::root()).args(["ls-files"]))?;
    let mut wrong = Vec::new();
    for name in files.lines() {
        let path = shell::root().join(name);
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let rust = name.ends_with(".rs");
        if rust && ["util", "utils", "helper", "helpers", "common", "misc", "manager", "mod"].contains(&stem) {
            wrong.push(format!("{name}: name the file for the noun it is about"));
        }
        if !rust || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        for (number, line) in text.lines().enumerate() {
            for (head, tail, instead) in REFUSED {
                if line.contains(&format!("{head}{tail}")) {
                    wrong.push(format!("{name}:{}: `{head}{tail}`: {instead}", number + 1));
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}
