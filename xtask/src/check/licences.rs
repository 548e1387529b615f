//! Every crate we build with has a licence that lets us ship it.

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::shell;

/// SPDX identifiers; an expression passes when one of its alternatives consists of these alone.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CC0-1.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
];

pub(super) fn check() -> anyhow::Result<()> {
    let text = shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let refused: Vec<String> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or("none named");
            (!allowed(licence)).then(|| format!("{} {}: {licence}", package["name"], package["version"]))
        })
        .collect();
    if !refused.is_empty() {
        bail!("licences that are not on the list:\n{}", refused.join("\n"));
    }
    Ok(())
}

/// SPDX with AND, OR, WITH and one level of brackets, plus the old form `MIT/Apache-2.0`.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut depth = 0_usize;
    let mut alternatives = vec![String::new()];
    for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match word {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "OR" if depth == 0 => alternatives.push(String::new()),
            _ => {}
        }
        if let (Some(last), true) = (alternatives.last_mut(), !(word == "OR" && depth == 0)) {
            last.push_str(word);
            last.push(' ');
        }
    }
    alternatives.iter().any(|alternative| {
        alternative.split(" AND ").all(|part| {
            let part = part.trim();
            match part.strip_prefix('(').and_then(|p| p.strip_suffix(')')) {
                Some(inner) => allowed(inner.trim()),
                None => ALLOWED.contains(&part),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-2.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["GPL-2.0", "MIT AND GPL-2.0", "none named", "(GPL-2.0 OR LGPL-3.0) AND MIT"] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
