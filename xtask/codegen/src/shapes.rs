//! Facts that neither source holds: how fields merge, and how Go treats an empty one; from `control/api/src/data`; to the table.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// How lists and maps merge.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    pub patch_strategy: String,
    pub patch_key: String,
    pub list_type: String,
    pub list_keys: String,
    pub map_type: String,
}

/// The data files.
#[derive(Debug, Default)]
pub struct Shapes {
    /// By type and field; the field is empty for a fact about the type itself.
    pub merge: BTreeMap<(String, String), Merge>,
    /// Shape words by type suffix (`core.v1.Container`, or `*`) and field.
    go: BTreeMap<(String, String), String>,
    /// All kinds named in the kind table as group, version, kind.
    pub kinds: Vec<(String, String, String)>,
}

impl Shapes {
    /// How Go declares this field: `pointer`, `value`, `null` or nothing known. Facts about every type say `value` of objects and times only.
    pub fn go(&self, type_name: &str, field: &str, object_or_time: bool) -> Option<&str> {
        let suffix = suffix(type_name);
        let exact = self.go.get(&(suffix.to_owned(), field.to_owned()));
        let any = || self.go.get(&("*".to_owned(), field.to_owned())).filter(|s| object_or_time || *s != "value");
        exact.or_else(any).map(String::as_str)
    }
}

/// The last three parts of a type's name: `core.v1.Pod`.
fn suffix(type_name: &str) -> &str {
    let mut dots = type_name.rmatch_indices('.').map(|(at, _)| at);
    dots.nth(2).and_then(|at| type_name.get(at + 1..)).unwrap_or(type_name)
}

/// Reads the data files.
pub fn read(dir: &Path) -> anyhow::Result<Shapes> {
    let mut shapes = Shapes::default();
    for row in rows(&dir.join("patch-keys.tsv"))? {
        let [type_name, field, patch_strategy, patch_key, list_type, list_keys, map_type, ..] = row.as_slice() else {
            continue;
        };
        let merge = Merge {
            patch_strategy: patch_strategy.clone(),
            patch_key: patch_key.clone(),
            list_type: list_type.clone(),
            list_keys: list_keys.clone(),
            map_type: map_type.clone(),
        };
        shapes.merge.insert((type_name.clone(), field.clone()), merge);
    }
    for row in rows(&dir.join("go-shapes.tsv"))? {
        let [type_name, shape, fields, ..] = row.as_slice() else { continue };
        for field in fields.split(' ').filter(|f| !f.is_empty()) {
            shapes.go.insert((type_name.clone(), field.to_owned()), shape.clone());
        }
    }
    for row in rows(&dir.join("kinds.tsv"))? {
        let [group, version, _, kind, ..] = row.as_slice() else { continue };
        let (kind, group, version) =
            match kind.split_once(" (").and_then(|(k, r)| Some((k, r.strip_suffix(')')?.split_once('/')?))) {
                Some((kind, (group, version))) => (kind.to_owned(), group.to_owned(), version.to_owned()),
                None => (kind.clone(), group.clone(), version.clone()),
            };
        shapes.kinds.push((group, version, kind));
    }
    Ok(shapes)
}

/// The rows below the heading, each filled up to nine columns.
fn rows(path: &Path) -> anyhow::Result<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let lines = text.lines().skip(1).filter(|l| !l.starts_with('#') && !l.is_empty());
    Ok(lines
        .map(|line| {
            let mut row: Vec<String> = line.split('\t').map(str::to_owned).collect();
            row.resize(row.len().max(9), String::new());
            row
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_suffix_of_a_type_is_its_last_three_parts() {
        assert_eq!(super::suffix("io.k8s.api.core.v1.Pod"), "core.v1.Pod");
    }
}
